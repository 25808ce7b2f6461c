//! What an operator's key out of a token is, byte for byte: of any other one the same key files would not open. With
//! SoftHSM, from Debian's package `softhsm2`; without it nothing is tested here, and in CI that is a failure.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{env, fs, path::Path, process::Command};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    object::{Attribute, KeyType, ObjectClass},
    session::UserType,
    types::AuthPin,
};
use keepwell_node::{
    config::TokenConfig,
    token::{Pin, TokenError, Unfit, operator_key},
};

const MODULE: &str = "/usr/lib/softhsm/libsofthsm2.so";
const PIN: &str = "zq-Pin-271828";
/// The secret 00 01 02 .. 1f gives this; it was computed with another program.
const OPERATOR_KEY: &str = "96c713800c73a66f44dea4c26b849273fbee129bbef9f3074cde2f712559457d";
/// Says that this process is the one beside tokens of its own.
const WITHIN: &str = "KEEPWELL_TEST_TOKENS";

/// SoftHSM finds its tokens by the environment, which a program cannot change for itself: the test runs itself.
#[test]
fn the_operators_key_is_a_code_of_a_fixed_message() {
    if env::var_os(WITHIN).is_some() {
        return within();
    }
    if !Path::new(MODULE).exists() {
        assert!(env::var_os("CI").is_none(), "no {MODULE}: apt-get install softhsm2");
        return eprintln!("skipped: no {MODULE}; apt-get install softhsm2");
    }
    let home = tempfile::tempdir().unwrap();
    let (drawer, conf) = (home.path().join("drawer"), home.path().join("softhsm2.conf"));
    fs::create_dir(&drawer).unwrap();
    fs::write(&conf, format!("directories.tokendir = {}\n", drawer.display())).unwrap();
    let init = ["--init-token", "--free", "--label", "t", "--so-pin", "zq-officer", "--pin", PIN];
    let mut util = Command::new("softhsm2-util");
    assert!(util.args(init).env("SOFTHSM2_CONF", &conf).status().unwrap().success());
    let itself = Command::new(env::current_exe().unwrap())
        .args(["--exact", "the_operators_key_is_a_code_of_a_fixed_message", "--nocapture"])
        .env("SOFTHSM2_CONF", &conf)
        .env(WITHIN, "1")
        .status();
    assert!(itself.unwrap().success());
}

fn within() {
    put(&[("fixed", 32, false), ("readable", 32, true), ("short", 31, false)]);
    let of = |key: &str| {
        let (module, token) = (MODULE.into(), "t".to_owned());
        let config = TokenConfig { module, token, key: key.to_owned(), pin_file: None };
        operator_key(&config, &Pin::typed(PIN))
    };
    let key: String = of("fixed").unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(key, OPERATOR_KEY);
    // The module ends each time, and a PIN is given anew.
    assert_eq!(*of("fixed").unwrap(), *of("fixed").unwrap());
    for (key, expected) in [("readable", Unfit::Readable), ("short", Unfit::Short)] {
        let refused = of(key).map(drop);
        assert!(
            matches!(refused, Err(TokenError::UnfitKey { unfit, .. }) if unfit == expected),
            "{refused:?}"
        );
    }
    assert!(matches!(of("none").map(drop), Err(TokenError::NoKey { .. })));
    let config = TokenConfig {
        module: MODULE.into(),
        token: "t".to_owned(),
        key: "fixed".to_owned(),
        pin_file: None,
    };
    let wrong = operator_key(&config, &Pin::typed("zq-Pin-314159")).map(drop);
    assert!(matches!(wrong, Err(TokenError::WrongPin { .. })), "{wrong:?}");
}

/// Puts known secrets into the token: name, length, and whether the token would show it.
fn put(keys: &[(&str, u8, bool)]) {
    let context = Pkcs11::new(MODULE).unwrap();
    context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK)).unwrap();
    let slot = context.get_slots_with_initialized_token().unwrap()[0];
    let session = context.open_rw_session(slot).unwrap();
    session.login(UserType::User, Some(&AuthPin::from(PIN))).unwrap();
    for (label, len, readable) in keys {
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::GENERIC_SECRET),
            Attribute::Value((0..*len).collect()),
            Attribute::Label(label.as_bytes().to_vec()),
            Attribute::Token(true),
            Attribute::Sensitive(!readable),
            Attribute::Extractable(*readable),
            Attribute::Sign(true),
        ];
        session.create_object(&template).unwrap();
    }
    drop(session);
    context.finalize().unwrap();
}

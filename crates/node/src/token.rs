//! An operator's key that a PKCS#11 token makes: what opens the key files is on no disk, and its secret never leaves
//! the token.
//!
//! ```text
//! in the token     a generic secret of 32 bytes or more, sensitive and not extractable
//! operator's key   HMAC-SHA-256 of "keepwell/operator/token/v1" under that secret, made by the token
//! key files        locked by the operator's key, as with an operator's file (`keepwell_crypto::keyfile`)
//! ```
//!
//! # Invariants
//!
//! * A key that its token would give away is refused: who copied it once would need no token.
//! * A wrong PIN is used once. While a token counts a wrong one since the last right one, no PIN out of a file is
//!   tried: a service that is started again and again would lock the token. A person may try. Whatever else a token
//!   says to a login may have been a try as well.
//! * The PIN is in no configuration and no log, and leaves memory when dropped; so does the operator's key.
//! * One thread at a time has a module, for as long as it takes to ask.
//!
//! Not here: the keys that this opens. They are in the memory of the process that opened them, as with any other lock:
//! a validator votes and answers some hundred times a second, with keys of kinds that tokens do not know.

use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use cryptoki::{
    context::{CInitializeArgs, CInitializeFlags, Pkcs11},
    error::{Error as Fault, RvError},
    mechanism::{Mechanism, MechanismType},
    object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle},
    session::{Session, UserType},
    slot::{Slot, TokenInfo},
    types::RawAuthPin,
};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{config::TokenConfig, folder::is_private};

/// What the token makes the operator's key of: the same in every token, so that a copy of the key in another one, under
/// whatever name, opens the same files.
pub const OPERATOR_MESSAGE: &[u8] = b"keepwell/operator/token/v1";
/// Bytes of the secret that is made in a token, and the least that one may have.
const SECRET_BYTES: u64 = 32;
/// Bytes of a PIN.
const PIN_BYTES_MAX: u64 = 255;

/// What a token is asked to be able to do.
const MAKES_KEYS: (MechanismType, &str) =
    (MechanismType::GENERIC_SECRET_KEY_GEN, "CKM_GENERIC_SECRET_KEY_GEN");
/// Likewise.
const MAKES_MACS: (MechanismType, &str) = (MechanismType::SHA256_HMAC, "CKM_SHA256_HMAC");

/// A token that does not give an operator's key, and what its operator does about it.
#[derive(Debug, Error)]
pub enum TokenError {
    /// The system refused the file with the PIN.
    #[error(
        "the PIN's file {path}: {source}; check that it is there and that this user may read it"
    )]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file with the PIN is not one.
    #[error(
        "the PIN's file {path} must have 1 to {max} bytes and be readable by this user alone (chmod 600)",
        max = PIN_BYTES_MAX
    )]
    PinFile {
        /// The file.
        path: PathBuf,
    },
    /// No PKCS#11 module, or one that does not begin.
    #[error(
        "the PKCS#11 module {path} cannot be used: {reason}; install the token's own software, and name its module"
    )]
    Module {
        /// The module.
        path: PathBuf,
        /// What was said.
        reason: String,
    },
    /// The token is not there.
    #[error(
        "there is no token {token:?}; the module sees {}; plug it in, or correct the name",
        listed(.present)
    )]
    NoToken {
        /// Its label.
        token: String,
        /// The labels of those that are there.
        present: Vec<String>,
    },
    /// More than one of that name.
    #[error("{count} tokens are named {token:?}; unplug one, or give it another label")]
    SeveralTokens {
        /// Their label.
        token: String,
        /// How many.
        count: usize,
    },
    /// The token cannot do what is needed.
    #[error(
        "the token {token:?} does not know {mechanism}; use one that does, or an operator's file"
    )]
    NoMechanism {
        /// Its label.
        token: String,
        /// As PKCS#11 calls it.
        mechanism: &'static str,
    },
    /// The PIN was tried, and is wrong.
    #[error("the token {token:?} refuses the PIN, which was tried once{left}")]
    WrongPin {
        /// Its label.
        token: String,
        /// How it goes on.
        left: TriesLeft,
    },
    /// No PIN was tried, since the last one was wrong.
    #[error(
        "the last PIN that was given to the token {token:?} was wrong, and no other was tried, since few wrong ones lock it; correct the PIN, then run `keepwell token check`"
    )]
    PinInDoubt {
        /// Its label.
        token: String,
    },
    /// Too many wrong PINs.
    #[error(
        "the PIN of the token {token:?} is locked after too many wrong ones; its security officer sets a new one with its maker's tool"
    )]
    PinLocked {
        /// Its label.
        token: String,
    },
    /// The token has no PIN yet, or one that has ended.
    #[error("the PIN of the token {token:?} has to be set anew first; do so with its maker's tool")]
    PinUnset {
        /// Its label.
        token: String,
    },
    /// The token let nobody in, and it is not known whether it counted the PIN.
    #[error(
        "the token {token:?} let nobody in with the PIN, which was tried once: {reason}; see with its maker's tool whether it works, then run `keepwell token check`"
    )]
    LoginFailed {
        /// Its label.
        token: String,
        /// What it said.
        reason: String,
    },
    /// No such key.
    #[error(
        "the token {token:?} has no key {key:?}; correct the name, or make one with `keepwell token new`"
    )]
    NoKey {
        /// The token's label.
        token: String,
        /// The key's.
        key: String,
    },
    /// More than one of that name.
    #[error(
        "the token {token:?} has {count} keys named {key:?}; rename or remove those that are not it"
    )]
    SeveralKeys {
        /// The token's label.
        token: String,
        /// Their label.
        key: String,
        /// How many.
        count: usize,
    },
    /// A key is there already, and none is ever replaced.
    #[error("the token {token:?} has something named {key:?} already; choose another name")]
    KeyExists {
        /// The token's label.
        token: String,
        /// The key's.
        key: String,
    },
    /// A key that may not serve.
    #[error("the key {key:?} of the token {token:?} {unfit}; make one with `keepwell token new`")]
    UnfitKey {
        /// The token's label.
        token: String,
        /// The key's.
        key: String,
        /// Why not.
        unfit: Unfit,
    },
    /// A key that was made and does not serve.
    #[error(
        "the token {token:?} does not make such keys: {reason}; use another token or an operator's file. {left}"
    )]
    NotMade {
        /// The token's label.
        token: String,
        /// What is wrong with the key.
        reason: String,
        /// What became of it.
        left: Left,
    },
    /// Anything else that a token says.
    #[error("the token {token:?} failed: {reason}; see with its maker's tool whether it works")]
    Failed {
        /// Its label.
        token: String,
        /// What it said.
        reason: String,
    },
}

impl TokenError {
    /// Whether the next try may be one wrong PIN more: each failure of a login is such.
    pub const fn is_of_the_pin(&self) -> bool {
        matches!(
            self,
            Self::WrongPin { .. }
                | Self::PinInDoubt { .. }
                | Self::PinLocked { .. }
                | Self::PinUnset { .. }
                | Self::LoginFailed { .. }
        )
    }
}

/// What a token says after a wrong PIN.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum TriesLeft {
    /// Nothing of how many are left.
    Unsaid,
    /// One more wrong one locks it.
    Last,
    /// None.
    None,
}

impl fmt::Display for TriesLeft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsaid => {
                "; a few wrong ones lock it: correct the PIN, then run `keepwell token check`"
            }
            Self::Last => {
                "; ONE more wrong one locks it: be sure of the PIN, then run `keepwell token check`"
            }
            Self::None => ", and is locked now; its security officer sets a new PIN",
        })
    }
}

/// What a key that does not serve left in its token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Left {
    /// Nothing.
    Nothing,
    /// Itself.
    Key,
}

impl fmt::Display for Left {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nothing => "What it made is removed from it again",
            Self::Key => "What it made could not be removed: do so with its maker's tool",
        })
    }
}

/// Why a key does not serve.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unfit {
    /// Of another type.
    Type,
    /// Too short.
    Short,
    /// The token would show it.
    Readable,
    /// The token may not make codes with it.
    NoSigning,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Type => "is no generic secret (CKK_GENERIC_SECRET)",
            Self::Short => "has fewer than 32 bytes",
            Self::Readable => {
                "can be read out of it (it must be CKA_SENSITIVE and not CKA_EXTRACTABLE)"
            }
            Self::NoSigning => "may not make codes (CKA_SIGN)",
        })
    }
}

fn listed(labels: &[String]) -> String {
    match labels {
        [] => "none at all".to_owned(),
        labels => labels.iter().map(|it| format!("{it:?}")).collect::<Vec<_>>().join(", "),
    }
}

/// A token's PIN.
pub struct Pin {
    secret: RawAuthPin,
    by_hand: bool,
}

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pin(..)")
    }
}

impl Pin {
    /// Reads a PIN from a file that nobody else can read. A line's end is not part of it.
    pub fn read(path: &Path) -> Result<Self, TokenError> {
        let file = |source| TokenError::File { path: path.to_path_buf(), source };
        let refused = || TokenError::PinFile { path: path.to_path_buf() };
        let metadata = fs::metadata(path).map_err(file)?;
        // A line's end may be of two bytes.
        if !is_private(path, &metadata) || metadata.len() > PIN_BYTES_MAX + 2 {
            return Err(refused());
        }
        let bytes = fs::read(path).map(Zeroizing::new).map_err(file)?;
        let pin = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let pin = pin.strip_suffix(b"\r").unwrap_or(pin);
        if pin.is_empty() || pin.len() as u64 > PIN_BYTES_MAX {
            return Err(refused());
        }
        Ok(Self { secret: RawAuthPin::new(Box::new(pin.to_vec())), by_hand: false })
    }

    /// One that a person typed.
    pub fn typed(pin: &str) -> Self {
        Self { secret: RawAuthPin::new(Box::new(pin.as_bytes().to_vec())), by_hand: true }
    }

    /// The same, for a person who knows that it may be one wrong PIN more.
    pub fn by_hand(self) -> Self {
        Self { by_hand: true, ..self }
    }
}

/// Asks the token for the operator's key.
pub fn operator_key(config: &TokenConfig, pin: &Pin) -> Result<Zeroizing<[u8; 32]>, TokenError> {
    let module = Module::load(&config.module)?;
    let token = Token::find(&module, config)?;
    token.must_know(MAKES_MACS)?;
    let session = token.log_in(pin, Pkcs11::open_ro_session)?;
    let key = token.key(&session)?;
    token.mac(&session, key)
}

/// Makes the key in the token, which never gives it away. One of that name that is there stays as it is.
pub fn make_key(config: &TokenConfig, pin: &Pin) -> Result<(), TokenError> {
    let module = Module::load(&config.module)?;
    let token = Token::find(&module, config)?;
    token.must_know(MAKES_KEYS)?;
    token.must_know(MAKES_MACS)?;
    let session = token.log_in(pin, Pkcs11::open_rw_session)?;
    let TokenConfig { token: label, key, .. } = config;
    if !token.named(&session, &[])?.is_empty() {
        return Err(TokenError::KeyExists { token: label.clone(), key: key.clone() });
    }
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::GENERIC_SECRET),
        Attribute::ValueLen(SECRET_BYTES.into()),
        Attribute::Label(key.as_bytes().to_vec()),
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Sign(true),
    ];
    let made = session.generate_key(&Mechanism::GenericSecretKeyGen, &template);
    let made = made.map_err(|fault| token.failed(&fault))?;
    // What the token made of all that is looked at before anything is locked with it.
    let serves = token.serves(&session, made).and_then(|()| token.mac(&session, made));
    serves.map(drop).map_err(|fault| {
        let left = session.destroy_object(made).map_or(Left::Key, |()| Left::Nothing);
        let reason = if let TokenError::UnfitKey { unfit, .. } = fault {
            format!("the key {unfit}")
        } else if let TokenError::Failed { reason, .. } = fault {
            reason
        } else {
            fault.to_string()
        };
        TokenError::NotMade { token: label.clone(), reason, left }
    })
}

/// Modules are one for the process: a second use would end the first one's sessions.
static ALONE: Mutex<()> = Mutex::new(());

/// A module that has begun, and ends with this value.
struct Module {
    context: Pkcs11,
    _alone: MutexGuard<'static, ()>,
}

impl Module {
    fn load(path: &Path) -> Result<Self, TokenError> {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let refused =
            |fault: Fault| TokenError::Module { path: path.to_path_buf(), reason: said(&fault) };
        let context = Pkcs11::new(path).map_err(refused)?;
        let begun = context.initialize(CInitializeArgs::new(CInitializeFlags::OS_LOCKING_OK));
        begun.map_err(refused)?;
        Ok(Self { context, _alone: alone })
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        if let Err(fault) = self.context.clone().finalize() {
            tracing::debug!(reason = said(&fault), "a PKCS#11 module did not end");
        }
    }
}

/// A token that was found by its name.
struct Token<'a> {
    config: &'a TokenConfig,
    context: &'a Pkcs11,
    slot: Slot,
}

impl<'a> Token<'a> {
    fn find(module: &'a Module, config: &'a TokenConfig) -> Result<Self, TokenError> {
        let (context, token) = (&module.context, config.token.clone());
        let slots = context
            .get_slots_with_token()
            .map_err(|fault| TokenError::Failed { token: token.clone(), reason: said(&fault) })?;
        // One that cannot be read, or is pulled out at this moment, is not there and hides no other.
        let labelled = |slot: Slot| Some((slot, context.get_token_info(slot).ok()?));
        let all: Vec<_> = slots.into_iter().filter_map(labelled).collect();
        let all: Vec<_> = all.into_iter().filter(|(_, it)| it.token_initialized()).collect();
        let those: Vec<_> = all.iter().filter(|(_, info)| info.label() == token).collect();
        match those[..] {
            [(slot, _)] => Ok(Self { config, context, slot: *slot }),
            [] => {
                let present = all.iter().map(|(_, info)| info.label().to_owned()).collect();
                Err(TokenError::NoToken { token, present })
            }
            _ => Err(TokenError::SeveralTokens { token, count: those.len() }),
        }
    }

    fn must_know(
        &self,
        (mechanism, name): (MechanismType, &'static str),
    ) -> Result<(), TokenError> {
        let known = self.context.get_mechanism_list(self.slot).map_err(|it| self.failed(&it))?;
        if known.contains(&mechanism) {
            return Ok(());
        }
        Err(TokenError::NoMechanism { token: self.config.token.clone(), mechanism: name })
    }

    fn info(&self) -> Result<TokenInfo, TokenError> {
        self.context.get_token_info(self.slot).map_err(|fault| self.failed(&fault))
    }

    /// A session in which the PIN was taken, and which may write if it was opened so.
    fn log_in(
        &self,
        pin: &Pin,
        open: impl FnOnce(&Pkcs11, Slot) -> Result<Session, Fault>,
    ) -> Result<Session, TokenError> {
        let token = || self.config.token.clone();
        let info = self.info()?;
        if info.user_pin_locked() {
            return Err(TokenError::PinLocked { token: token() });
        }
        if (info.user_pin_count_low() || info.user_pin_final_try()) && !pin.by_hand {
            return Err(TokenError::PinInDoubt { token: token() });
        }
        let session = open(self.context, self.slot).map_err(|it| self.failed(&it))?;
        match session.login_with_raw(UserType::User, &pin.secret) {
            Ok(()) => Ok(session),
            Err(fault) => Err(refusal(token(), &fault, self.info().ok().as_ref().map(tries_left))),
        }
    }

    /// Everything that has the key's name, with these attributes.
    fn named(
        &self,
        session: &Session,
        further: &[Attribute],
    ) -> Result<Vec<ObjectHandle>, TokenError> {
        let label = Attribute::Label(self.config.key.as_bytes().to_vec());
        let template = [&[Attribute::Token(true), label], further].concat();
        session.find_objects(&template).map_err(|fault| self.failed(&fault))
    }

    /// The key, if it may serve.
    fn key(&self, session: &Session) -> Result<ObjectHandle, TokenError> {
        let (token, key) = (self.config.token.clone(), self.config.key.clone());
        let secret = [Attribute::Class(ObjectClass::SECRET_KEY)];
        let found = match self.named(session, &secret)?[..] {
            [found] => found,
            [] if self.named(session, &[])?.is_empty() => {
                return Err(TokenError::NoKey { token, key });
            }
            [] => return Err(TokenError::UnfitKey { token, key, unfit: Unfit::Type }),
            ref several => {
                return Err(TokenError::SeveralKeys { token, key, count: several.len() });
            }
        };
        self.serves(session, found).map(|()| found)
    }

    /// Sees that a key may serve.
    fn serves(&self, session: &Session, found: ObjectHandle) -> Result<(), TokenError> {
        let (token, key) = (self.config.token.clone(), self.config.key.clone());
        let asked = [
            AttributeType::KeyType,
            AttributeType::ValueLen,
            AttributeType::Sensitive,
            AttributeType::Extractable,
            AttributeType::Sign,
        ];
        let said = session.get_attributes(found, &asked).map_err(|fault| self.failed(&fault))?;
        match unfit(&said) {
            Some(unfit) => Err(TokenError::UnfitKey { token, key, unfit }),
            None => Ok(()),
        }
    }

    fn mac(&self, session: &Session, key: ObjectHandle) -> Result<Zeroizing<[u8; 32]>, TokenError> {
        let code = session.sign(&Mechanism::Sha256Hmac, key, OPERATOR_MESSAGE);
        let code = code.map(Zeroizing::new).map_err(|fault| self.failed(&fault))?;
        let code = <[u8; 32]>::try_from(code.as_slice()).map(Zeroizing::new);
        code.map_err(|_| TokenError::Failed {
            token: self.config.token.clone(),
            reason: "what it made is no code of HMAC-SHA-256".to_owned(),
        })
    }

    fn failed(&self, fault: &Fault) -> TokenError {
        TokenError::Failed { token: self.config.token.clone(), reason: said(fault) }
    }
}

/// Why a key may not serve, by what its token says of it. What is not said is not so.
fn unfit(said: &[Attribute]) -> Option<Unfit> {
    let is = |attribute| said.contains(&attribute);
    let is_long =
        said.iter().any(|it| matches!(it, Attribute::ValueLen(len) if SECRET_BYTES <= **len));
    if !is(Attribute::KeyType(KeyType::GENERIC_SECRET))
        && !is(Attribute::KeyType(KeyType::SHA256_HMAC))
    {
        Some(Unfit::Type)
    } else if !is_long {
        Some(Unfit::Short)
    } else if !is(Attribute::Sensitive(true)) || !is(Attribute::Extractable(false)) {
        Some(Unfit::Readable)
    } else if !is(Attribute::Sign(true)) {
        Some(Unfit::NoSigning)
    } else {
        None
    }
}

fn tries_left(info: &TokenInfo) -> TriesLeft {
    if info.user_pin_locked() {
        TriesLeft::None
    } else if info.user_pin_final_try() {
        TriesLeft::Last
    } else {
        TriesLeft::Unsaid
    }
}

/// Why a token let nobody in.
fn refusal(token: String, fault: &Fault, left: Option<TriesLeft>) -> TokenError {
    #[allow(clippy::wildcard_enum_match_arm, reason = "PKCS#11's errors are many, and not ours")]
    match fault {
        Fault::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _) => {
            TokenError::WrongPin { token, left: left.unwrap_or(TriesLeft::Unsaid) }
        }
        Fault::Pkcs11(RvError::PinLocked, _) => TokenError::PinLocked { token },
        Fault::Pkcs11(RvError::PinExpired | RvError::UserPinNotInitialized, _) => {
            TokenError::PinUnset { token }
        }
        _ => TokenError::LoginFailed { token, reason: said(fault) },
    }
}

/// What a module said, in the words of PKCS#11: the library's own run to paragraphs.
fn said(fault: &Fault) -> String {
    #[allow(clippy::wildcard_enum_match_arm, reason = "the library's errors are not ours")]
    match fault {
        Fault::LibraryLoading(fault) => fault.to_string(),
        Fault::Pkcs11(error, function) => format!("C_{function:?} says {error:?}"),
        _ => fault.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use cryptoki::context::Function;

    use super::*;

    #[test]
    fn a_pins_file_is_its_users_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pin");
        for (bytes, mode, fits) in [
            (&b"1234"[..], 0o600, true),
            (b"1234\n", 0o400, true),
            (b"1234\r\n", 0o600, true),
            (b"1234", 0o640, false),
            (b"", 0o600, false),
            (b"\n", 0o600, false),
            (&[b'1'; 255], 0o600, true),
            (&[b'1'; 256], 0o600, false),
        ] {
            let _ = fs::remove_file(&path);
            fs::write(&path, bytes).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(Pin::read(&path).is_ok(), fits, "{} bytes, {mode:o}", bytes.len());
        }
        assert!(matches!(Pin::read(&folder.path().join("none")), Err(TokenError::File { .. })));
    }

    #[test]
    fn a_pin_is_not_printed() {
        assert_eq!(format!("{:?}", Pin::typed("3141592653")), "Pin(..)");
    }

    #[test]
    fn a_refusal_says_how_it_goes_on() {
        for (error, left, words) in [
            (RvError::PinIncorrect, Some(TriesLeft::Unsaid), "tried once; a few wrong ones"),
            (RvError::PinIncorrect, Some(TriesLeft::Last), "ONE more wrong one locks it"),
            (RvError::PinIncorrect, Some(TriesLeft::None), "is locked now"),
            (RvError::PinLenRange, None, "tried once; a few wrong ones"),
            (RvError::PinLocked, None, "security officer sets a new one"),
            (RvError::PinExpired, None, "set anew first"),
            (RvError::UserPinNotInitialized, None, "set anew first"),
            (RvError::DeviceRemoved, None, "C_Login says DeviceRemoved"),
            (RvError::FunctionFailed, Some(TriesLeft::Unsaid), "tried once: C_Login says"),
        ] {
            let refusal = refusal("t".to_owned(), &Fault::Pkcs11(error, Function::Login), left);
            assert!(refusal.to_string().contains(words), "{refusal}");
            assert!(refusal.is_of_the_pin(), "{refusal}");
        }
    }

    #[test]
    fn a_key_serves_only_if_the_token_keeps_it() {
        let key = |type_, len: u64, sensitive, extractable, sign| {
            [
                Attribute::KeyType(type_),
                Attribute::ValueLen(len.into()),
                Attribute::Sensitive(sensitive),
                Attribute::Extractable(extractable),
                Attribute::Sign(sign),
            ]
        };
        let secret = KeyType::GENERIC_SECRET;
        for (said, expected) in [
            (key(secret, 32, true, false, true), None),
            (key(KeyType::SHA256_HMAC, 64, true, false, true), None),
            (key(KeyType::AES, 32, true, false, true), Some(Unfit::Type)),
            (key(secret, 31, true, false, true), Some(Unfit::Short)),
            (key(secret, 32, false, false, true), Some(Unfit::Readable)),
            (key(secret, 32, true, true, true), Some(Unfit::Readable)),
            (key(secret, 32, true, false, false), Some(Unfit::NoSigning)),
        ] {
            assert_eq!(unfit(&said), expected, "{said:?}");
            // A token that does not say that it keeps a key may give it away.
            for at in 0..said.len() {
                let mut less = said.to_vec();
                less.remove(at);
                assert!(unfit(&less).is_some(), "{less:?}");
            }
        }
    }
}

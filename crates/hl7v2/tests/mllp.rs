//! Frames on connections that cut, merge and garble them.

use keepwell_hl7v2::{
    limits::GARBAGE_BYTES_MAX,
    mllp::{Decoder, Event, Fault, Held, encode},
};
use proptest::prelude::*;

const BYTES_MAX: usize = 8;

/// What a decoder says of chunks, and in the end; events as words.
fn events(chunks: &[&[u8]]) -> Vec<String> {
    let mut decoder = Decoder::new(BYTES_MAX);
    let mut found = Vec::new();
    for chunk in chunks {
        let mut rest = *chunk;
        while let Some(event) = decoder.next(&mut rest) {
            found.push(word(&event));
        }
        assert!(rest.is_empty(), "bytes are left without an event");
    }
    while let Some(event) = decoder.quiet() {
        found.push(word(&event));
    }
    found
}

fn word(event: &Event) -> String {
    match event {
        Event::Frame(bytes) => format!("[{}]", String::from_utf8_lossy(bytes)),
        Event::Fault(Fault::Garbage { bytes }) => format!("garbage:{bytes}"),
        Event::Fault(Fault::Cut { bytes }) => format!("cut:{bytes}"),
        Event::Fault(Fault::TooLarge { bytes_max }) => format!("large:{bytes_max}"),
        Event::Fault(Fault::EndInside { at }) => format!("end:{at}"),
    }
}

/// `<` begins and `>` ends a block, `$` is a carriage return, `/` a cut by the network.
fn bytes(text: &str) -> Vec<u8> {
    text.bytes()
        .map(|byte| match byte {
            b'<' => 0x0b,
            b'>' => 0x1c,
            b'$' => 0x0d,
            b'%' => 0x0a,
            other => other,
        })
        .collect()
}

#[test]
fn frames_are_found_wherever_they_are_cut() {
    let table = "
        one                  <abc>$                         => [abc]
        several              <a>$<b>$<c>$                   => [a] [b] [c]
        cut_everywhere       </a/b/>/$/<c>/$                => [ab] [c]
        empty                <>$                            => []
        line_ends_between    <a>$%$%<b>$                    => [a] [b]
        garbage_before       xyz<a>$                        => garbage:3 [a]
        garbage_between      <a>$xy/z<b>$                   => [a] garbage:3 [b]
        garbage_last         <a>$x                          => [a] garbage:1
        without_cr           <a><b>$                        => [a] [b]
        without_last_cr      <a>                            => [a]
        cut_by_the_next      <ab<c>$                        => cut:2 [c]
        cut_by_the_end       <abc                           => cut:3
        end_inside           <a>b>$<c>$                     => end:1 [c]
        two_ends             <a>>$<c>$                      => end:1 [c]
        end_without_begin    >$<a>$                         => garbage:1 [a]
        as_large_as_allowed  <12345678>$                    => [12345678]
        too_large            <123456789>$<a>$               => large:8 [a]
        too_large_in_parts   <1234/5678/9>$<a>$             => large:8 [a]
        too_large_and_cut    <123456789<a>$                 => large:8 [a]
        nothing                                             =>
    ";
    for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (case, expected) = line.split_once("=>").expect("case => events");
        let (name, input) = case.trim().split_once(' ').unwrap_or((case.trim(), ""));
        let chunks: Vec<Vec<u8>> = input.trim().split('/').map(bytes).collect();
        let chunks: Vec<&[u8]> = chunks.iter().map(Vec::as_slice).collect();
        assert_eq!(events(&chunks).join(" "), expected.trim(), "{name}");
    }
}

#[test]
fn a_peer_that_never_frames_is_told_apart() {
    let noise = vec![b'x'; 2 * GARBAGE_BYTES_MAX as usize + 1];
    let found = events(&[&noise]);
    assert_eq!(
        found,
        [
            format!("garbage:{GARBAGE_BYTES_MAX}"),
            format!("garbage:{GARBAGE_BYTES_MAX}"),
            "garbage:1".into()
        ]
    );
}

#[test]
fn what_is_encoded_is_decoded() {
    assert_eq!(encode(b"MSH|"), Some(b"\x0bMSH|\x1c\x0d".to_vec()));
    assert_eq!(encode(b"a\x1cb"), None);
    assert_eq!(encode(b"a\x0bb"), None);
}

#[test]
fn a_frame_in_single_bytes_is_looked_at_once() {
    let message = vec![b'a'; 4 << 20];
    let frame = encode(&message).expect("it has no framing bytes");
    let mut decoder = Decoder::new(message.len());
    let mut found = 0;
    for byte in frame.chunks(1) {
        let mut rest = byte;
        found += usize::from(decoder.next(&mut rest).is_some());
    }
    assert_eq!(found, 1);
}

proptest! {
    #[test]
    fn every_chunking_gives_the_same(
        stream in prop::collection::vec(prop::sample::select(&b"<>$%ab12345"[..]), 0..120),
        cuts in prop::collection::vec(0_usize..120, 0..20),
    ) {
        let stream = bytes(&String::from_utf8(stream).expect("it is ASCII"));
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(stream.len())).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let chunks: Vec<&[u8]> = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
        prop_assert_eq!(events(&chunks), events(&[&stream]));
    }

    #[test]
    fn frames_come_out_as_they_went_in(
        messages in prop::collection::vec(prop::collection::vec(0x20_u8..=0xff, 0..=BYTES_MAX), 0..10),
    ) {
        let stream: Vec<u8> = messages.iter().filter_map(|message| encode(message)).flatten().collect();
        let mut decoder = Decoder::new(BYTES_MAX);
        let mut rest = stream.as_slice();
        for message in messages {
            prop_assert_eq!(decoder.next(&mut rest), Some(Event::Frame(message)));
        }
        prop_assert_eq!(decoder.next(&mut rest), None);
    }
}

/// How long a reader waits, and what it can say of what it refused.
#[test]
fn a_decoder_tells_what_it_holds() {
    let mut decoder = Decoder::new(BYTES_MAX);
    let mut feed = |text: &str| {
        let bytes = bytes(text);
        let mut rest = bytes.as_slice();
        while decoder.next(&mut rest).is_some() {}
        (decoder.held(), String::from_utf8(decoder.head().to_vec()).expect("it was text"))
    };
    for (text, held, head) in [
        ("xy", Held::Nothing, ""),
        ("<ab", Held::Part, ""),
        ("c>", Held::Whole, ""),
        ("$", Held::Nothing, ""),
        ("<ab$defghi", Held::Part, "ab"),
        ("jk<c>", Held::Whole, "ab"),
        ("x", Held::Part, "c"),
        ("<abcdefghi", Held::Part, "abcdefgh"),
    ] {
        assert_eq!(feed(text), (held, head.to_owned()), "{text}");
    }
}

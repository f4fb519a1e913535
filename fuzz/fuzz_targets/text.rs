//! Any text: judged under every circumstance, decoded, learnt from, and stripped of its tail.

#![no_main]

use feige::wire::dialect::emoticon::{show, substitute};
use feige::wire::dialect::{FeiqVersion, FontBlock};
use feige::wire::text::{Ladder, Learned};
use feige::wire::{Charset, Office};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (first, second) = bytes.split_at(bytes.len() / 2);
    let mut learned = Learned::default();
    for declared_utf8 in [false, true] {
        for dialect in [None, Some(Charset::GBK)] {
            for office in [Office::Auto, Office::Fixed(Charset::SHIFT_JIS)] {
                let remembered = learned.verdict();
                let ladder = Ladder { declared_utf8, remembered, dialect, office };
                let verdict = ladder.judge(&[first, second]);
                learned.learn(verdict);
                let text = verdict.charset.decode(bytes);
                // A strict reading is the same reading.
                if let Some(strict) = verdict.charset.decode_strictly(bytes) {
                    assert_eq!(strict, text);
                    assert!(verdict.charset.reads(bytes));
                }
                // What is sent to FeiQ holds nothing that GBK lacks.
                assert!(Charset::GBK.can_encode(&substitute(&text)));
                assert!(!format!("{verdict:?}{learned:?}{}", show(&text)).is_empty());
            }
        }
    }
    let (typed, font) = FontBlock::split(bytes);
    assert!(bytes.starts_with(typed));
    assert!(!format!("{font:?}{:?}", FeiqVersion::parse(bytes)).is_empty());
});

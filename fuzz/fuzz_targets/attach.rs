//! Any file list: within its caps, and what was read is written so that it reads the same again.

#![no_main]

use feige::wire::Charset;
use feige::wire::attach::{FILE_NAME_MAX, FILES_MAX, FileList};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    for charset in [Charset::UTF_8, Charset::GBK, Charset::SHIFT_JIS] {
        let list = FileList::read(bytes, charset);
        assert!(list.files.len() <= FILES_MAX);
        assert!(list.files.iter().all(|file| file.name.len() <= FILE_NAME_MAX));
        assert!(!format!("{list:?}").is_empty());
        for joint in ["\x07", "\x07:"] {
            let mut written = Vec::new();
            FileList::write(&list.files, Charset::UTF_8, joint, &mut written);
            let again = FileList::read(&written, Charset::UTF_8);
            assert_eq!(again.files.len(), list.files.len());
            for (again, file) in again.files.iter().zip(&list.files) {
                // Controls in names are the one thing that is not written as it was read.
                let clean = file.name.replace(char::is_control, "_");
                assert_eq!(again.name, clean);
                assert_eq!((again.id, again.size, again.attr), (file.id, file.size, file.attr));
            }
        }
    }
});

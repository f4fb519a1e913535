//! A file list: what was read and written again reads the same.
#![no_main]

use feige::wire::Charset;
use feige::wire::attach::FileList;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let utf8: Charset = "utf-8".parse().expect("a charset");
    let read = FileList::read(bytes, utf8);
    let mut list = Vec::new();
    FileList::write(&read.files, utf8, "\x07", &mut list);
    let _ = FileList::read(&list, utf8);
});

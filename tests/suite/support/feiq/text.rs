//! FeiQ's texts: always GBK, whatever the options say, and a font block behind what its user typed.

use encoding_rs::GBK;

/// What FeiQ appends in its standard font (section 5).
pub(crate) const FONT: &str = "{/font;-16 0 0 0 400 0 0 0 134 0 0 2 32 微软雅黑 8404992;}";

/// GBK; what it lacks is lost, as in any program of that code page.
pub(crate) fn gbk(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for character in text.chars() {
        let mut utf8 = [0; 4];
        match GBK.encode(character.encode_utf8(&mut utf8)) {
            (encoded, _, false) => bytes.extend_from_slice(&encoded),
            _ => bytes.push(b'?'),
        }
    }
    bytes
}

/// Reads GBK; UTF-8 comes out as the garbage a FeiQ user sees.
pub(crate) fn read(bytes: &[u8]) -> String {
    GBK.decode_without_bom_handling(bytes).0.into_owned()
}

/// The body of a chat text: text, font block, NUL.
pub(crate) fn with_font(text: &str) -> Vec<u8> {
    [gbk(text), gbk(FONT), vec![0]].concat()
}

/// What its user sees of a text: all but a font block at the very end.
pub(crate) fn without_font(main: &[u8]) -> String {
    let text = read(main);
    let text = text.trim_end_matches('\0');
    match text.rfind("{/font;").filter(|_| text.ends_with(";}")) {
        Some(start) => text[..start].to_owned(),
        None => text.to_owned(),
    }
}

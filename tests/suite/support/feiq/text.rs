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

/// What its user sees of a text: all but a well-formed font block of at most 512 bytes at the very
/// end (section 5).
pub(crate) fn without_font(main: &[u8]) -> String {
    let end = main.iter().rposition(|&byte| byte != 0).map_or(0, |last| last + 1);
    let text = &main[..end];
    let starts = (end.saturating_sub(512)..end).rev();
    let font = starts.into_iter().find(|&start| is_font(&text[start..]));
    read(&text[..font.unwrap_or(end)])
}

/// Whether this is one font block from its first byte to its last: five signed numbers, eight
/// unsigned ones, a face and a colour.
fn is_font(block: &[u8]) -> bool {
    let inside = [&b"{/font;"[..], b"{\\font;"].iter().find_map(|head| block.strip_prefix(*head));
    let Some(inside) = inside.and_then(|inside| inside.strip_suffix(b";}")) else { return false };
    let fields: Vec<&[u8]> = inside.split(|&byte| byte == b' ').collect();
    let is_number = |digits: &[u8]| {
        !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) && digits.len() <= 10
    };
    let is_signed = |field: &[u8]| is_number(field.strip_prefix(b"-").unwrap_or(field));
    let ends_early = inside.windows(2).any(|pair| pair == b";}");
    fields.len() >= 15
        && !ends_early
        && fields[..5].iter().all(|field| is_signed(field))
        && fields[5..13].iter().all(|field| is_number(field))
        && is_number(fields[fields.len() - 1])
}

//! A name from outside as a safe name of our own (threats, rule 21): a pure function, its rules as
//! data.

use std::borrow::Cow;

use crate::term;

/// Longest name, bytes; what common file systems hold.
pub const NAME_MAX: usize = 255;

/// Longest ending that is kept when a name is cut, bytes with its dot.
const EXTENSION_MAX: usize = 32;

/// What takes the place of a character that may not stand in a name.
const INSTEAD: char = '_';

/// What separates components here or elsewhere, or names drives, streams and resource forks there.
const SEPARATORS: [char; 3] = ['/', '\\', ':'];

/// Names of devices on Windows, whatever their ending; `#` is a digit or a small raised 1, 2, 3.
const DEVICES: &[&str] =
    &["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$", "CLOCK$", "COM#", "LPT#"];

/// One path component that is safe to create below a folder: never empty, `.` or `..`, without
/// separators, controls and invisible characters, without dots or blanks at either end that hide a
/// file or get lost elsewhere, no name of a device, at most [`NAME_MAX`] bytes. A name that is safe
/// already comes back as it is.
pub fn clean(name: &str) -> Cow<'_, str> {
    if is_plain(name) {
        return Cow::Borrowed(name);
    }
    let name: String = name.chars().map(|c| if is_forbidden(c) { INSTEAD } else { c }).collect();
    let name = name.trim_start().trim_end_matches(|c: char| c == '.' || c.is_whitespace());
    let hidden = name.len() - name.trim_start_matches('.').len();
    let mut clean = String::with_capacity(name.len() + 1);
    clean.extend(std::iter::repeat_n(INSTEAD, hidden));
    clean.push_str(name.get(hidden..).unwrap_or_default());
    if clean.is_empty() || is_device(&clean) {
        clean.insert(0, INSTEAD);
    }
    Cow::Owned(cut(&clean, NAME_MAX))
}

/// Whether [`clean`] has nothing to do: the common names, quickly.
fn is_plain(name: &str) -> bool {
    let bytes = name.as_bytes();
    let fits = (1..=NAME_MAX).contains(&bytes.len());
    let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
    let inner = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    fits && ends(bytes.first()) && ends(bytes.last()) && bytes.iter().all(inner) && !is_device(name)
}

fn is_forbidden(c: char) -> bool {
    SEPARATORS.contains(&c) || term::is_special(c)
}

fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end();
    DEVICES.iter().any(|device| {
        let mut letters = device.chars();
        let same = stem.chars().all(|c| match letters.next() {
            Some('#') => c.is_ascii_digit() || matches!(c, '¹' | '²' | '³'),
            Some(letter) => c.eq_ignore_ascii_case(&letter),
            None => false,
        });
        same && letters.next().is_none()
    })
}

/// The name that is tried when `times` others were taken: `a.txt`, `a (1).txt`, `a (2).txt`; of a
/// folder `a.d (1)`. At most [`NAME_MAX`] bytes.
pub fn numbered(name: &str, times: u32, folder: bool) -> Cow<'_, str> {
    if times == 0 {
        return Cow::Borrowed(name);
    }
    let (stem, ending) = if folder { (name, "") } else { split(name) };
    let mark = format!(" ({times})");
    let room = NAME_MAX.saturating_sub(mark.len() + ending.len());
    Cow::Owned(format!("{}{mark}{ending}", head(stem, room)))
}

/// A name and its ending with the dot; the ending is empty if there is none, or none worth keeping.
fn split(name: &str) -> (&str, &str) {
    match name.rfind('.') {
        Some(dot) if dot > 0 && name.len() - dot <= EXTENSION_MAX => name.split_at(dot),
        _ => (name, ""),
    }
}

/// Cuts a name to so many bytes, keeping its ending.
fn cut(name: &str, max: usize) -> String {
    if name.len() <= max {
        return name.to_owned();
    }
    let (stem, ending) = split(name);
    format!("{}{ending}", head(stem, max.saturating_sub(ending.len())))
}

/// The beginning of a text, at most so many bytes, cut between characters.
fn head(text: &str, max: usize) -> &str {
    let mut end = max.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn safe_names_stay_as_they_are() {
        for name in [
            "a",
            "report.txt",
            "报告 2026.pdf",
            "a b (1).tar.gz",
            "-rf",
            "~",
            "日本語",
            "a'b\"c",
            "console.log",
            "com10",
            "lpt",
            "nullify",
            "auxiliary.c",
            "COM",
            "x.con",
            "naïve.txt",
            "🚀.png",
            "a..b",
            "#1",
            "$HOME",
            "`id`",
            "a;b",
            "*?<>|",
        ] {
            assert_eq!(clean(name), name);
        }
    }

    #[test]
    fn every_dangerous_form_becomes_one_harmless_component() {
        for (name, safe) in [
            ("", "_"),
            (".", "_"),
            ("..", "_"),
            ("...", "_"),
            ("   ", "_"),
            ("/etc/passwd", "_etc_passwd"),
            ("../../etc/passwd", "___.._etc_passwd"),
            ("..\\..\\autoexec.bat", "___.._autoexec.bat"),
            ("C:\\Windows\\x", "C__Windows_x"),
            ("a:stream", "a_stream"),
            ("a\0b", "a_b"),
            ("a\nb\u{1b}[2J", "a_b_[2J"),
            (".bashrc", "_bashrc"),
            ("..hidden", "__hidden"),
            (" .profile", "_profile"),
            ("a.txt.", "a.txt"),
            ("a. . .", "a"),
            ("a ", "a"),
            ("exe\u{202e}gpj.txt", "exe_gpj.txt"),
            ("a\u{200b}b", "a_b"),
            ("a\u{feff}", "a_"),
            ("a\u{85}b", "a_b"),
            ("x\u{e0041}", "x_"),
            ("re\u{1d173}port.txt", "re_port.txt"),
            ("a\u{13430}b\u{1bca0}", "a_b_"),
            ("a\u{fdd0}\u{ffff}", "a__"),
            ("CON", "_CON"),
            ("con.txt", "_con.txt"),
            ("Aux .tar.gz", "_Aux .tar.gz"),
            ("LPT9", "_LPT9"),
            ("com¹.log", "_com¹.log"),
            ("CONIN$", "_CONIN$"),
            ("nul.", "_nul"),
        ] {
            assert_eq!(clean(name), safe, "{name:?}");
            assert_eq!(clean(safe), safe, "cleaned once is clean");
        }
    }

    #[test]
    fn long_names_are_cut_between_characters_and_keep_their_ending() {
        let long = format!("{}.pdf", "文".repeat(200));
        let short = clean(&long);
        assert!(short.len() <= NAME_MAX && short.len() > NAME_MAX - 3, "{}", short.len());
        assert!(short.ends_with("文.pdf"));
        let whole = "x".repeat(NAME_MAX);
        assert_eq!(clean(&whole), whole);
        assert_eq!(clean(&format!("{whole}y")), whole);
        let odd = format!("{}.{}", "x".repeat(300), "y".repeat(60));
        assert_eq!(clean(&odd).len(), NAME_MAX, "no ending worth keeping");
    }

    #[test]
    fn numbers_stand_before_the_ending_of_files_and_behind_folders() {
        assert_eq!(numbered("a.txt", 0, false), "a.txt");
        assert_eq!(numbered("a.txt", 1, false), "a (1).txt");
        assert_eq!(numbered("a.d", 2, true), "a.d (2)");
        assert_eq!(numbered("README", 3, false), "README (3)");
        let long = format!("{}.txt", "文".repeat(83));
        let next = numbered(&long, 12, false).into_owned();
        assert!(next.len() <= NAME_MAX && next.ends_with(" (12).txt"), "{next}");
    }

    #[test]
    fn whatever_comes_is_one_component() {
        for first in ['.', ' ', '/', '\\', ':', '\0', 'a', '文', '\u{202e}', '\u{301}'] {
            for second in ['.', ' ', '/', '\t', 'b', '\u{200f}'] {
                for third in ['.', ' ', '\\', 'c', '\u{2028}'] {
                    let name: String = [first, second, third].iter().collect();
                    let safe = clean(&name);
                    let bad = safe.is_empty()
                        || safe.starts_with(['.', ' '])
                        || safe.ends_with(['.', ' '])
                        || safe.chars().any(is_forbidden);
                    assert!(!bad, "{name:?} became {safe:?}");
                }
            }
        }
    }
}

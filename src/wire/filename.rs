//! File names as their readers take them. What a reader must do with names it receives is not here.

use std::borrow::Cow;

/// Which file names a client can store.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum NameForm {
    /// Whatever a Unix file system holds.
    #[default]
    Any,
    /// What Windows holds. The official client refuses a whole list from the first name on that
    /// has one of `< > | ? *` (wire reference, 7).
    Windows,
}

/// What no name on Windows may have. Separators, controls and colons are dealt with where a name is
/// written: colons are doubled there.
const FORBIDDEN: &[char] = &['<', '>', '|', '?', '*', '"'];

/// Names that open a device on Windows, with any extension.
const DEVICES: &[&str] = &["con", "prn", "aux", "nul"];
/// Those with a digit from 1 to 9 behind them do, too.
const NUMBERED: &[&str] = &["com", "lpt"];

impl NameForm {
    /// The name as it is written to a client of this form: what it cannot store becomes `_`.
    pub fn clean(self, name: &str) -> Cow<'_, str> {
        if self == Self::Any {
            return Cow::Borrowed(name);
        }
        let trimmed = name.trim_end_matches(['.', ' ']);
        let stem = trimmed.split('.').next().unwrap_or(trimmed).trim_end();
        let device = is_device(stem);
        if trimmed.len() == name.len() && !device && !name.contains(FORBIDDEN) {
            return Cow::Borrowed(name);
        }
        let mut clean = String::with_capacity(name.len() + 1);
        for (at, character) in name.char_indices() {
            if device && at == stem.len() {
                clean.push('_');
            }
            let bad = at >= trimmed.len() || FORBIDDEN.contains(&character);
            clean.push(if bad { '_' } else { character });
        }
        if device && stem.len() == name.len() {
            clean.push('_');
        }
        Cow::Owned(clean)
    }
}

fn is_device(stem: &str) -> bool {
    let stem = stem.to_ascii_lowercase();
    let numbered = NUMBERED.iter().filter_map(|name| stem.strip_prefix(name));
    DEVICES.contains(&stem.as_str())
        || numbered.into_iter().any(|rest| matches!(rest.as_bytes(), [b'1'..=b'9']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_gets_names_it_can_store() {
        for (name, clean) in [
            ("report.pdf", "report.pdf"),
            ("报告 (1).txt", "报告 (1).txt"),
            ("co:lon", "co:lon"),
            ("what? <a|b>*\"c\"", "what_ _a_b___c_"),
            ("dots...", "dots___"),
            ("blank ", "blank_"),
            ("con", "con_"),
            ("AUX.txt", "AUX_.txt"),
            ("Lpt1.tar.gz", "Lpt1_.tar.gz"),
            ("com0", "com0"),
            ("console.log", "console.log"),
            (".hidden", ".hidden"),
        ] {
            assert_eq!(NameForm::Windows.clean(name), clean, "{name}");
            assert_eq!(NameForm::Any.clean(name), name);
        }
    }
}

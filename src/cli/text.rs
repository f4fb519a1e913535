//! The text of a message: from the command line, or from standard input.

use std::io::{self, IsTerminal, Read};

use super::error::{CliError, Exit};

/// More than any peer reads in one message, in any charset; reading ends there.
const INPUT_MAX: u64 = 256 * 1024;

/// The words of the command line as one text, its line ends as line feeds: it is kept as it is sent. A
/// lone `-`, or none at all and a pipe on standard input, reads standard input to its end; its last
/// line break does not belong to the text.
pub(super) fn read(words: &[String]) -> Result<String, CliError> {
    let text = match words {
        [] if io::stdin().is_terminal() => {
            return Err(CliError::usage("no text").hint("write it behind WHO, or pipe it in"));
        }
        [] => from_input(io::stdin())?,
        [one] if one == "-" => from_input(io::stdin())?,
        words => words.join(" "),
    };
    if text.is_empty() {
        return Err(CliError::usage("the text is empty").hint("nothing was sent"));
    }
    if let Some(at) = text.find('\0') {
        return Err(CliError::usage(format_args!("the text has a NUL as byte {}", at + 1))
            .hint("nothing was sent; a message ends there, `--file` sends any bytes"));
    }
    Ok(if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n") } else { text })
}

fn from_input(input: impl Read) -> Result<String, CliError> {
    let mut bytes = Vec::new();
    input.take(INPUT_MAX + 1).read_to_end(&mut bytes).map_err(|error| {
        CliError::new(Exit::Usage, "cannot read standard input").because(&error)
    })?;
    if bytes.len() as u64 > INPUT_MAX {
        return Err(CliError::usage("standard input is longer than a message can be")
            .hint("nothing was sent; split the text, or send a file"));
    }
    let mut text = String::from_utf8(bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        CliError::usage(format_args!("standard input is not UTF-8 from byte {} on", at + 1))
            .hint("nothing was sent; `iconv -f gbk` makes UTF-8 of GBK")
    })?;
    if text.ends_with('\n') {
        text.pop();
        if text.ends_with('\r') {
            text.pop();
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_joined() {
        let words = ["lunch".to_owned(), "at noon?".to_owned()];
        assert_eq!(read(&words).expect("a text"), "lunch at noon?");
    }

    #[test]
    fn an_empty_text_is_wrong_usage() {
        assert_eq!(read(&[String::new()]).expect_err("empty").exit(), Exit::Usage);
    }

    #[test]
    fn every_line_end_becomes_a_line_feed() {
        let words = ["a\r\nb\rc\n\rd\r".to_owned()];
        assert_eq!(read(&words).expect("a text"), "a\nb\nc\n\nd\n");
    }

    #[test]
    fn one_line_break_at_the_end_of_input_goes() {
        assert_eq!(from_input(&b"a\nb\r\n"[..]).expect("a text"), "a\nb");
        assert_eq!(from_input(&b"a\n\n"[..]).expect("a text"), "a\n");
        assert_eq!(from_input(&b""[..]).expect("a text"), "");
    }

    #[test]
    fn input_in_another_charset_is_refused_where_it_begins() {
        let error = from_input(&b"ok \xc4\xe3"[..]).expect_err("GBK");
        assert!(error.to_string().contains("not UTF-8 from byte 4 on"), "{error}");
    }

    #[test]
    fn endless_input_ends() {
        let error = from_input(io::repeat(b'x')).expect_err("endless");
        assert_eq!(error.exit(), Exit::Usage);
    }
}

//! The rules of the house that no compiler checks: which module may use which, how long a file
//! may get, and that nothing outside tests unwraps. `docs/architecture.md` gives the reasons.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Which parts of the crate a part may use besides itself. An entry with `::` allows only that.
const MAY_USE: &[(&str, &[&str])] = &[
    ("wire", &[]),
    ("crypto", &[]),
    ("term", &[]),
    ("node", &["wire", "crypto"]),
    ("sim", &["node", "wire"]),
    ("store", &["node", "term"]),
    ("io", &["node", "store", "wire::tree", "wire::request", "wire::picture"]),
    ("cli", &["node", "io", "store", "term"]),
    ("main", &["cli"]),
];

/// Files or folders that may use more, and why.
const EXCEPTIONS: &[(&str, &str)] = &[
    // It explains packets: the wire is its subject.
    ("cli/command/decode", "wire"),
];

/// Longest file, tests at its end not counted.
const LINES_MAX: usize = 600;

#[test]
fn modules_use_only_what_the_ladder_allows() {
    let mut faults = String::new();
    for source in sources() {
        let allowed = allowed(&source.name);
        for (line, path) in source.imports() {
            if !allowed.iter().any(|prefix| starts_with(&path, prefix)) {
                let _ = writeln!(faults, "src/{}:{line}: may not use crate::{path}", source.name);
            }
        }
    }
    assert!(faults.is_empty(), "forbidden arrows:\n{faults}");
}

#[test]
fn no_file_is_longer_than_a_reader_can_hold() {
    let mut faults = String::new();
    for source in sources() {
        let lines = source.code().count();
        if lines > LINES_MAX {
            let _ = writeln!(faults, "src/{}: {lines} lines, {LINES_MAX} at most", source.name);
        }
    }
    assert!(faults.is_empty(), "look for a seam:\n{faults}");
}

#[test]
fn nothing_outside_tests_unwraps() {
    let mut faults = String::new();
    for source in sources() {
        for (line, text) in source.code() {
            if text.contains(".unwrap()") {
                let _ = writeln!(faults, "src/{}:{line}: {}", source.name, text.trim());
            }
        }
    }
    assert!(faults.is_empty(), "name the invariant with expect, or handle it:\n{faults}");
}

#[test]
fn the_guards_see_what_they_guard_against() {
    let source = Source {
        name: "wire/sample.rs".into(),
        text: "\
//! crate::io in a comment is no import.
use crate::{
    node::{Node, api::Event},
    store,
};
fn f() { crate::io::start(); }
#[cfg(test)]
mod tests {
    use crate::sim::Lan;
}
"
        .into(),
    };
    let found: Vec<_> = source.imports();
    let found: Vec<_> = found.iter().map(|(line, path)| (*line, path.as_str())).collect();
    assert_eq!(found, [(2, "node::Node"), (2, "node::api::Event"), (2, "store"), (6, "io::start")]);
    assert_eq!(source.code().count(), 6);
    assert!(starts_with("wire::tree::TreeReader", "wire::tree"));
    assert!(!starts_with("wire::treeless", "wire::tree"));
    assert!(allowed("io/udp.rs").contains(&"io"));
    assert!(!allowed("io/udp.rs").contains(&"wire"));
    assert!(allowed("cli/command/decode.rs").contains(&"wire"));
    assert!(!allowed("cli/command/decoder.rs").contains(&"wire"));
}

/// A file of `src`.
struct Source {
    /// Its path below `src`.
    name: String,
    text: String,
}

impl Source {
    /// Its lines with their numbers from 1, without comments, up to the tests at its end.
    fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines: Vec<&str> = self.text.lines().collect();
        let end = lines
            .windows(2)
            .position(|pair| pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod tests"))
            .unwrap_or(lines.len());
        let code = lines.into_iter().take(end).enumerate();
        code.map(|(index, text)| match text.trim_start() {
            comment if comment.starts_with("//") => (index + 1, ""),
            _ => (index + 1, text),
        })
    }

    /// Every path below `crate::` that it names, braces expanded, with its line.
    fn imports(&self) -> Vec<(usize, String)> {
        let mut text = String::new();
        let mut starts = Vec::new();
        for (_, line) in self.code() {
            starts.push(text.len());
            text.push_str(line);
            text.push('\n');
        }
        let mut found = Vec::new();
        for (place, root) in text.match_indices("crate::") {
            let line = starts.partition_point(|start| *start <= place);
            let mut paths = Vec::new();
            expand(&text[place + root.len()..], "", &mut paths);
            found.extend(paths.into_iter().map(|path| (line, path)));
        }
        found
    }
}

/// Reads one path, or the braces of a `use`, and returns what follows.
fn expand<'a>(text: &'a str, before: &str, paths: &mut Vec<String>) -> &'a str {
    let name = |c: char| c.is_alphanumeric() || c == '_' || c == ':' || c == '*';
    let end = text.find(|c| !name(c)).unwrap_or(text.len());
    let path = format!("{before}{}", &text[..end]);
    let Some(mut rest) = text[end..].strip_prefix('{') else {
        paths.push(path);
        return &text[end..];
    };
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == ',');
        if let Some(after) = rest.strip_prefix('}') {
            return after;
        }
        let inner = expand(rest, &path, paths);
        // `name as other` and whatever else is no name: go on at the next comma or brace.
        rest = &inner[inner.find([',', '}']).unwrap_or(inner.len())..];
        if rest.is_empty() {
            return rest;
        }
    }
}

/// What the file may use: its own part, what the table grants that part, its own exceptions. The
/// root of the crate only lists the parts.
fn allowed(name: &str) -> Vec<&str> {
    let part = name.split(['/', '.']).next().unwrap_or(name);
    let of_part = MAY_USE.iter().find(|(user, _)| *user == part).map_or(&[][..], |(_, used)| used);
    let of_file = EXCEPTIONS.iter().filter(|(file, _)| {
        name.strip_prefix(file).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
    });
    let of_file = of_file.map(|(_, used)| *used);
    of_part.iter().copied().chain(of_file).chain([part]).collect()
}

fn starts_with(path: &str, prefix: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&root, &mut files);
    files.sort();
    assert!(files.len() > 10, "found only {} files in {}", files.len(), root.display());
    let read = |path: PathBuf| Source {
        text: fs::read_to_string(&path).expect("a source file is readable"),
        name: path.strip_prefix(&root).expect("it lies in src").to_string_lossy().into_owned(),
    };
    files.into_iter().map(read).collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("src is readable") {
        let path = entry.expect("src is readable").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

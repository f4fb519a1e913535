//! The real binary: help, exit codes, output. Each test has a home and a LAN of its own.

mod away;
mod book;
mod both;
mod changed;
mod config;
mod crash;
mod decode;
mod files;
mod heirs;
mod history;
mod hostile;
mod lan;
mod log;
mod picture_handover;
mod picture_offers;
mod picture_rules;
mod pictures;
mod ports;
mod refused;
mod sealed;
mod send;
mod stream;
mod surroundings;
mod wording;

use crate::support::home::Lan;

const COMMANDS: [&[&str]; 29] = [
    &["history"],
    &["away"],
    &["back"],
    &["listen"],
    &["peers"],
    &["broadcast"],
    &["send"],
    &["knock"],
    &["charset"],
    &["withdraw"],
    &["files"],
    &["get"],
    &["refuse"],
    &["alias"],
    &["block"],
    &["outbox"],
    &["outbox", "cancel"],
    &["outbox", "retry"],
    &["node"],
    &["node", "status"],
    &["node", "stop"],
    &["decode"],
    &["demo"],
    &["config"],
    &["config", "path"],
    &["config", "edit"],
    &["config", "set"],
    &["completions"],
    &["man"],
];

#[test]
fn without_a_command_help_is_printed() {
    let done = Lan::new().home("a").run(&[]).code(0);
    assert!(done.out.contains("Usage: feige"), "{done:?}");
    assert_eq!(done.err, "");
    let listed = done.out.split_once("\nCommands:\n").expect("commands are listed").1;
    let listed = listed.lines().take_while(|line| !line.is_empty());
    let mut listed: Vec<_> = listed.filter_map(|line| line.split_whitespace().next()).collect();
    let mut known: Vec<_> =
        COMMANDS.iter().filter(|command| command.len() == 1).map(|command| command[0]).collect();
    listed.sort_unstable();
    known.sort_unstable();
    assert_eq!(listed, known, "each is tried below");
}

#[test]
fn every_command_has_help_with_real_examples() {
    let home = Lan::new().home("a");
    for command in COMMANDS {
        let done = home.run(&[command, &["--help"]].concat()).code(0);
        let (_, examples) = done.out.split_once("\nExamples:\n").expect("it has examples");
        let count = examples.lines().filter(|line| line.contains("feige ")).count();
        assert!(count >= 2, "{command:?}: {examples}");
        assert!(done.out.contains("--json"), "{command:?} has the global options");
        assert_eq!(done.err, "");
    }
}

#[test]
fn the_help_of_send_explains_who_is_meant() {
    let done = Lan::new().home("a").run(&["send", "-h"]).code(0);
    insta::assert_snapshot!(done.out, @r"
    Send a message, wait for the receipts, and report

    Usage: feige send [OPTIONS] <WHO> <TEXT>...
           feige send [OPTIONS] <WHO>... -- <TEXT>...
           feige send [OPTIONS] <WHO>... --file <PATH>... [-- <TEXT>...]
           feige send [OPTIONS] <WHO>... --picture <FILE>
           feige send --feiq-group <ID> <TEXT>...

    Arguments:
      [WHO]...   WHO and TEXT, or every WHO before --
      [TEXT]...  The text behind --; - or a pipe reads standard input

    Options:
          --timeout <TIME>   How long to wait for the receipts [default: 30s]
          --no-receipt       Ask for no receipt, and do not wait
          --picture <FILE>   Send a picture, PNG, JPEG, GIF or BMP; - reads standard input
          --yes              Write to everybody a pattern matches, also where that are several
          --feiq-group <ID>  Write to a group of FeiQ instead, by id or name (experimental)
          --file <PATH>...   Offer files and folders; every word before it is a WHO, a text stands
                             behind --
          --detach           End at once and let the node that runs serve the files
          --limit <RATE>     At most so many bytes a second for each transfer: 500K, 10M
          --digest           Tell the SHA-256 of each file that was fetched, as sha256sum does
          --later            Keep the message for those who are away, and send it when they appear
          --expire <TIME>    How long a kept message waits for its recipient (7 days if nothing is
                             said), and files stay on offer (a day at most, with --later as long as the
                             message)
          --sealed           Hide the text until the reader opens it, and hear of that
          --lock             Seal, and have the reader's messenger ask for its password first
      -h, --help             Print help (see more with '--help')

    Global options:
          --json             Machine output: one JSON object on each line
      -q, --quiet            No talk on standard error, only errors
      -v, --verbose...       More detail; repeat for more
          --color <WHEN>     Colours on standard output: auto, always, never
          --port <PORT>      UDP and TCP port
          --bind <ADDR>      Use only the link that owns this address (repeatable)
          --profile <NAME>   Settings, messages and identity of their own under this name [env:
                             FEIGE_PROFILE]
          --nick <NAME>      Nickname that others see
          --user <NAME>      Log-on name that others see
          --host <NAME>      Computer name that others see
          --set <KEY=VALUE>  Any other setting, for this run: charset=gbk (repeatable)
          --alone            Never join a running node
          --no-store         Keep nothing on disk; then no receipts are sent
          --group <NAME>     Group that others see

    Examples:
      feige send alice 'lunch at noon?'
      feige send alice bob 10.0.0.7 -- the build is green
      df -h | feige send @ops -
      feige send alice bob --file report.pdf photos/ -- 'as promised'
      feige send --later --expire 8h bob 'call me when you are back'
      feige send --timeout 5s 张三 在吗
      grim - | feige send 张三 --picture -
    ");
}

#[test]
fn wrong_usage_ends_with_2_and_says_what_is_wrong() {
    let home = Lan::new().home("a");
    for (args, words) in [
        (&["bogus"][..], "unrecognized subcommand"),
        (&["listen", "--for", "soon"], "--for"),
        (&["listen", "--match", "("], "--match"),
        (&["listen", "--count", "0"], "--count"),
        (&["send"], "WHO"),
        (&["send", "", "hi"], "names nobody"),
        (&["peers", "--port", "0"], "--port"),
        (&["peers", "--bind", "here"], "--bind"),
        (&["peers", "--profile", "../etc"], "no name for a profile"),
        (&["--no-store", "listen", "--since", "3"], "--since"),
    ] {
        let done = home.run(args).code(2);
        assert!(done.err.contains(words), "{args:?}: {}", done.err);
        assert_eq!(done.out, "");
    }
}

#[test]
fn completions_and_the_manual_page_come_from_the_same_definition() {
    let home = Lan::new().home("a");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let done = home.run(&["completions", shell]).code(0);
        assert!(done.out.contains("no-receipt"), "{shell}");
    }
    let page = home.run(&["man"]).code(0);
    assert!(page.out.contains(".TH feige 1"), "{}", page.out);
    let page = home.run(&["man", "send"]).code(0);
    assert!(page.out.contains(r"\-\-timeout"), "{}", page.out);
    home.run(&["man", "bogus"]).code(2);
}

#[test]
fn an_invalid_setting_is_wrong_usage_and_named_with_its_place() {
    let home = Lan::new().home("a");
    home.write("config/feige/config.toml", b"# mine\nport = 'many'\n");
    let done = home.run(&["peers"]).code(2);
    assert!(done.err.contains("config.toml:2"), "{}", done.err);
}

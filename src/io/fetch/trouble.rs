//! Why a transfer to us broke off, in words that say whose side it lies on and what to do.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use crate::node::{ItemKind, Side, TransferProblem};
use crate::store::download::DownloadError;
use crate::wire::tree::TreeError;

/// Why a transfer broke off.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// No connection.
    #[error("{}", no_connection(*at, source))]
    Connect { at: SocketAddr, source: io::Error },
    /// It ended without a byte, however often it was asked.
    #[error("the sender closed the connection without sending a byte")]
    Nothing,
    /// It ended inside a folder.
    #[error("the sender closed the connection in the middle of the folder")]
    Unended,
    /// It ended before all was there.
    #[error("the sender closed the connection after {have} of {size} bytes")]
    Short { have: u64, size: u64 },
    /// Nothing came for too long.
    #[error("nothing came from the sender for {} s", .0.as_secs())]
    Silence(Duration),
    /// Next to nothing came for too long.
    #[error("the sender sent less than {bytes} bytes in {} s", span.as_secs())]
    Drip { bytes: u64, span: Duration },
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broke(io::Error),
    /// What came is no folder.
    #[error("the folder's stream is wrong: {0}")]
    Stream(TreeError),
    /// The disk would get too full.
    #[error("{needs} bytes more are needed, {room} can be had if 256 MiB are to stay free")]
    NoRoom { needs: u64, room: u64 },
    /// The disk would get too full by the rest of a folder, and nobody knows how much that is.
    #[error("it is too large for this disk: 256 MiB are to stay free")]
    Overfull,
    /// The disk got too full meanwhile.
    #[error("the disk has got too full meanwhile: 256 MiB are to stay free")]
    Full,
    /// Files cannot be made or written.
    #[error(transparent)]
    Folder(#[from] DownloadError),
    /// The user ended it.
    #[error("it was stopped")]
    Stopped,
    /// No thread.
    #[error("the system gives no thread: {0}")]
    Thread(io::Error),
}

impl From<TreeError> for Trouble {
    fn from(error: TreeError) -> Self {
        if error == TreeError::Eof { Self::Unended } else { Self::Stream(error) }
    }
}

/// Whether this says that there is no way to a host, at the moment at least.
pub(super) const fn is_unreachable(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::HostUnreachable) || is_off(kind)
}

/// Whether this says that this host has no network that leads there.
const fn is_off(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown)
}

fn no_connection(at: SocketAddr, source: &io::Error) -> String {
    let (ip, port) = (at.ip(), at.port());
    match source.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => format!(
            "TCP port {port} of the sender ({ip}) does not answer, though its messages arrive: a \
             firewall drops it"
        ),
        io::ErrorKind::ConnectionRefused => {
            format!(
                "nothing listens on TCP port {port} of the sender ({ip}), or a firewall refuses it"
            )
        }
        io::ErrorKind::HostUnreachable => format!(
            "TCP port {port} of the sender ({ip}) cannot be reached: it is off the network, or a \
             firewall refuses it"
        ),
        kind if is_off(kind) => {
            format!("this host has no network that leads to the sender ({ip})")
        }
        _ => format!("no connection to TCP port {port} of the sender ({ip}): {source}"),
    }
}

impl Trouble {
    fn side(&self) -> Side {
        match self {
            Self::Connect { source, .. } => match source.kind() {
                io::ErrorKind::TimedOut
                | io::ErrorKind::WouldBlock
                | io::ErrorKind::ConnectionRefused => Side::Theirs,
                kind if is_off(kind) => Side::Ours,
                _ => Side::Network,
            },
            Self::Nothing
            | Self::Unended
            | Self::Short { .. }
            | Self::Drip { .. }
            | Self::Stream(_) => Side::Theirs,
            Self::Silence(_) | Self::Broke(_) => Side::Network,
            Self::NoRoom { .. }
            | Self::Overfull
            | Self::Full
            | Self::Folder(_)
            | Self::Stopped
            | Self::Thread(_) => Side::Ours,
        }
    }

    /// For the user, who wanted this kind of item.
    pub(super) fn problem(&self, kind: ItemKind) -> TransferProblem {
        TransferProblem { side: self.side(), what: self.to_string(), hint: self.hint(kind) }
    }

    /// What to do about it. Of a folder nothing is kept.
    fn hint(&self, kind: ItemKind) -> String {
        let again = match kind {
            ItemKind::Folder => "`feige get` fetches it anew",
            ItemKind::File | ItemKind::Picture => {
                "`feige get` goes on where it was, if the sender's program can"
            }
        };
        match self {
            Self::Connect { at, source } => match source.kind() {
                io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => format!(
                    "receivers pull files from the sender: its firewall must let TCP {} in, then \
                     `feige get` again",
                    at.port()
                ),
                io::ErrorKind::ConnectionRefused => format!(
                    "its program has ended, cannot serve files, or is behind a firewall: start it, let \
                     TCP {} in, and `feige get` again",
                    at.port()
                ),
                io::ErrorKind::HostUnreachable => format!(
                    "receivers pull files from the sender: it must be on, and its firewall must let \
                     TCP {} in, then `feige get` again",
                    at.port()
                ),
                _ => "check the network, then `feige get` again".to_owned(),
            },
            Self::Nothing => "it took the offer back, gave it to us before, or has ended: ask the \
                              sender to offer it again"
                .to_owned(),
            Self::Stream(TreeError::TooLarge) => {
                "it holds more than its offer said, or than --folder-max allowed; a larger one lets \
                 it in: `feige get --folder-max 2G`"
                    .to_owned()
            }
            Self::Stream(_) => {
                "nothing of it was kept; ask the sender for an archive of the folder".to_owned()
            }
            Self::NoRoom { .. } | Self::Overfull | Self::Full => {
                "make room, or choose a folder on another disk with -o".to_owned()
            }
            Self::Folder(error) if error.is_full() => {
                "make room, or choose a folder on another disk with -o".to_owned()
            }
            Self::Folder(DownloadError::Busy { .. }) => {
                "wait for the other transfer to end".to_owned()
            }
            Self::Folder(_) => "choose another folder with -o".to_owned(),
            Self::Thread(_) => "end other programs, then `feige get` again".to_owned(),
            Self::Unended
            | Self::Short { .. }
            | Self::Silence(_)
            | Self::Drip { .. }
            | Self::Broke(_)
            | Self::Stopped => again.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_firewall_at_the_sender_is_called_that() {
        let at = "10.0.0.7:2425".parse().unwrap();
        let trouble = Trouble::Connect { at, source: io::ErrorKind::TimedOut.into() };
        let problem = trouble.problem(ItemKind::File);
        assert_eq!(problem.side, Side::Theirs);
        assert!(problem.what.contains("TCP port 2425 of the sender (10.0.0.7)"), "{problem:?}");
        assert!(problem.what.contains("a firewall drops it"), "{problem:?}");
        assert!(problem.hint.contains("must let TCP 2425 in"), "{problem:?}");
    }

    #[test]
    fn only_of_files_something_is_kept_to_go_on_with() {
        for trouble in [
            Trouble::Broke(io::ErrorKind::ConnectionReset.into()),
            Trouble::Silence(Duration::from_secs(30)),
            Trouble::Drip { bytes: 1, span: Duration::from_secs(1) },
            Trouble::Stopped,
        ] {
            let hint = |kind| trouble.problem(kind).hint;
            assert!(hint(ItemKind::File).contains("goes on where it was"), "{trouble}");
            assert_eq!(hint(ItemKind::Folder), "`feige get` fetches it anew", "{trouble}");
        }
    }

    #[test]
    fn a_sender_who_cannot_be_reached_may_have_a_firewall_that_says_so() {
        let at = "10.0.0.7:2425".parse().unwrap();
        let problem = |kind: io::ErrorKind| {
            Trouble::Connect { at, source: kind.into() }.problem(ItemKind::Folder)
        };
        let host = problem(io::ErrorKind::HostUnreachable);
        assert!(host.what.contains("off the network, or a firewall refuses it"), "{host:?}");
        assert!(host.hint.contains("its firewall must let TCP 2425 in"), "{host:?}");
        let refused = problem(io::ErrorKind::ConnectionRefused);
        assert!(refused.what.contains("or a firewall refuses it"), "{refused:?}");
        let off = problem(io::ErrorKind::NetworkUnreachable);
        assert!(off.what.starts_with("this host has no network"), "{off:?}");
        assert_eq!([host.side, refused.side, off.side], [Side::Network, Side::Theirs, Side::Ours]);
    }
}

//! Files on offer to one peer: [`GrantRecord`] as it is kept, and what follows from it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::node::api::files::{ItemKind, ItemState, ItemView, OfferId, OfferView};
use crate::node::api::{Direction, FileChoice, PeerView};
use crate::node::input::UnixMillis;
use crate::node::outbox::SendNo;
use crate::wire::attach::{CLIPBOARD, FOLDER, FileEntry, REGULAR};
use crate::wire::command::entry;
use crate::wire::dialect::{Habits, IPMSG};
use crate::wire::tree::READ_ONLY;
use crate::wire::{Charset, Dialect, Options, PacketNo};

/// One message's files on offer to one peer, as they are kept over restarts.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct GrantRecord {
    /// Short number.
    pub offer: OfferId,
    /// Packet number of the message.
    pub number: PacketNo,
    /// Which of its recipients, from 0.
    pub index: u32,
    /// When it was made.
    pub made_at: UnixMillis,
    /// When it ends by itself.
    pub ends_at: UnixMillis,
    /// The recipient as it was then.
    pub peer: PeerView,
    /// Where the message went: only from there it may be asked for (threats, rule 27).
    pub addrs: Vec<SocketAddr>,
    /// Charset of its texts, in which names in folders are written unless it asks for UTF-8.
    pub charset: Charset,
    /// At most so many bytes a second for each transfer.
    pub limit: Option<u64>,
    /// Tell the SHA-256 of what was fetched.
    pub digest: bool,
    /// What is on offer.
    pub files: Arc<[OfferedFile]>,
    /// How far each of them is.
    pub states: Vec<ItemState>,
}

/// A file or folder on offer.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OfferedFile {
    /// Its id, the same for every recipient of the message.
    pub id: u64,
    /// What was chosen.
    pub choice: FileChoice,
}

/// The smallest id of a file, and one above the largest: official clients draw from 30 bits, and an
/// id of nine decimal digits has the same digits as no other one in hexadecimal. So it does not
/// matter that some clients mix up the two (`iptux-dialect.md`, feiq-cli).
pub(crate) const IDS: std::ops::Range<u64> = 100_000_000..0x3fff_0000;

impl GrantRecord {
    /// Names the message to this recipient.
    pub(crate) fn no(&self) -> SendNo {
        SendNo { number: self.number, index: self.index }
    }

    /// What its recipient's client does and expects.
    pub(crate) fn habits(&self) -> &'static Habits {
        &Dialect::by_name(&self.peer.dialect).unwrap_or(&IPMSG).habits
    }

    /// Whether the message went to this host.
    pub(crate) fn is_for(&self, host: IpAddr) -> bool {
        self.addrs.iter().any(|addr| addr.ip() == host)
    }

    /// The place of the file with this id.
    pub(crate) fn item(&self, id: u64) -> Option<usize> {
        self.files.iter().position(|file| file.id == id)
    }

    /// Whether nothing of it can be fetched any more, and nothing moves.
    pub(crate) fn is_over(&self) -> bool {
        self.states.iter().all(|state| matches!(state, ItemState::Done | ItemState::Over))
    }

    /// What can still be fetched of it.
    pub(crate) fn left(&self) -> Arc<[OfferedFile]> {
        let open = |state: &ItemState| !matches!(state, ItemState::Done | ItemState::Over);
        let files = self.files.iter().zip(&self.states).filter(|(_, state)| open(state));
        files.map(|(file, _)| file.clone()).collect()
    }

    /// As it is written down: what moves now will have to be asked for again.
    pub(crate) fn at_rest(&self) -> Self {
        let rest = |state: &ItemState| match state {
            ItemState::Moving | ItemState::Queued => ItemState::Waiting,
            &state => state,
        };
        Self { states: self.states.iter().map(rest).collect(), ..self.clone() }
    }

    /// The offer as faces see it. `moved`: bytes of each item.
    pub(crate) fn view(&self, moved: impl Fn(usize) -> u64) -> OfferView {
        let item = |(at, (file, &state)): (usize, (&OfferedFile, &ItemState))| ItemView {
            item: place(at),
            file: file.id,
            name: file.choice.name.clone(),
            kind: file.choice.kind,
            size: file.choice.size,
            mtime: file.choice.mtime,
            state,
            bytes: if state == ItemState::Done { file.choice.size } else { moved(at) },
            path: None,
        };
        OfferView {
            offer: self.offer,
            direction: Direction::Out,
            made_at: self.made_at,
            ends_at: Some(self.ends_at),
            peer: self.peer.clone(),
            number: self.number,
            shared: false,
            items: self.files.iter().zip(&self.states).enumerate().map(item).collect(),
        }
    }
}

/// The place of an item for faces, from 1.
pub(crate) fn place(at: usize) -> u32 {
    u32::try_from(at + 1).unwrap_or(u32::MAX)
}

/// The list a message offers `files` with, as a client with these habits and this status reads it.
/// `text` is the message: pictures stand at its end (wire reference, 7).
pub(crate) fn list(
    files: &[OfferedFile],
    text: &str,
    habits: &Habits,
    status: Options,
) -> Vec<FileEntry> {
    let mut place = text.chars().filter(|c| *c != '\r').map(char::len_utf16).sum::<usize>();
    let mut entries = Vec::with_capacity(files.len());
    for OfferedFile { id, choice } in files {
        let read_only = if choice.read_only { READ_ONLY } else { 0 };
        let mut entry = FileEntry {
            id: *id,
            name: habits.file_names.clean(&choice.name).into_owned(),
            size: choice.size,
            mtime: choice.mtime,
            attr: read_only | u32::from(REGULAR),
            extended: Vec::new(),
        };
        match choice.kind {
            ItemKind::Folder => {
                entry.attr = read_only | u32::from(FOLDER);
                if !habits.empty_folders {
                    entry.size = entry.size.max(1);
                }
            }
            ItemKind::Picture if reads_picture(choice, status) => {
                entry.attr = u32::from(CLIPBOARD);
                entry.name = format!("ipmsgclip_s_{id}_{place}.png");
                entry.extended = vec![(POSITION, vec![place as u64])];
                place += 1;
            }
            ItemKind::Picture | ItemKind::File => {}
        }
        entries.push(entry);
    }
    entries
}

/// Extended attribute: where in the text a picture stands.
const POSITION: u32 = 8;
/// Largest picture that is taken as one (wire reference, 7).
const PICTURE_MAX: u64 = 10 << 20;

/// Whether a client with this status shows it inside the text; others get it as a file.
fn reads_picture(choice: &FileChoice, status: Options) -> bool {
    let png = choice.name.to_ascii_lowercase().ends_with(".png");
    png && choice.size <= PICTURE_MAX && status.contains(entry::CLIPBOARD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::dialect::{FEIGE, FEIQ, IPTUX};

    fn file(kind: ItemKind, name: &str, size: u64) -> OfferedFile {
        let choice = FileChoice {
            name: name.to_owned(),
            kind,
            size,
            mtime: 0x65a0_c3f0,
            mtime_nanos: None,
            read_only: kind == ItemKind::File,
            path: "/x".into(),
            device: 1,
            inode: 2,
        };
        OfferedFile { id: 734_003_200, choice }
    }

    #[test]
    fn an_empty_folder_has_a_size_only_where_none_would_be_taken_for_received() {
        let folder = [file(ItemKind::Folder, "目录", 0)];
        let size = |habits| list(&folder, "", habits, Options::empty())[0].size;
        assert_eq!([&IPTUX.habits, &IPMSG.habits, &FEIQ.habits].map(size), [1, 0, 0]);
        assert_eq!(list(&folder, "", &IPTUX.habits, Options::empty())[0].attr, 2);
    }

    #[test]
    fn names_are_those_the_client_can_store() {
        let files = [file(ItemKind::File, "why?.txt", 5)];
        let name = |habits| list(&files, "", habits, Options::empty())[0].name.clone();
        let habits = [&IPMSG.habits, &FEIQ.habits, &IPTUX.habits, &FEIGE.habits];
        assert_eq!(habits.map(name), ["why_.txt", "why_.txt", "why?.txt", "why?.txt"]);
        assert_eq!(list(&files, "", &IPMSG.habits, Options::empty())[0].attr, 0x101);
    }

    #[test]
    fn a_picture_stands_in_the_text_where_that_is_read_and_is_a_file_elsewhere() {
        let files = [file(ItemKind::Picture, "a.png", 5), file(ItemKind::Picture, "b.png", 5)];
        let shown = list(&files, "你好\r\n🚀", &IPMSG.habits, entry::CLIPBOARD);
        assert_eq!((shown[0].attr, &shown[0].extended), (0x20, &vec![(8, vec![5])]));
        assert_eq!(shown[0].name, "ipmsgclip_s_734003200_5.png");
        assert_eq!(shown[1].extended, [(8, vec![6])]);
        let other = list(&files, "你好", &IPTUX.habits, Options::empty());
        assert_eq!((other[0].attr, other[0].name.as_str()), (1, "a.png"));
        let photo = [file(ItemKind::Picture, "photo.jpg", 5)];
        assert_eq!(list(&photo, "", &IPMSG.habits, entry::CLIPBOARD)[0].attr, 1);
    }

    #[test]
    fn no_id_has_the_digits_of_another_in_the_other_base() {
        for id in [IDS.start, 734_003_200, IDS.end - 1] {
            let as_hex = u64::from_str_radix(&id.to_string(), 16).unwrap();
            assert!(!IDS.contains(&as_hex), "{id}");
            if let Ok(as_decimal) = format!("{id:x}").parse::<u64>() {
                assert!(!IDS.contains(&as_decimal), "{id}");
            }
        }
    }
}

//! Reads a folder stream as it comes.

use memchr::memchr;

use super::header::{Frame, Header};
use super::{DEPTH_MAX, ENTRIES_MAX, Times, TreeEntry, TreeError, UP};
use crate::wire::attach::{FOLDER, REGULAR};
use crate::wire::text::Charset;

/// Reads a folder stream fed in pieces of any size.
///
/// Feed it the bytes of one read after another, each until [`TreeEvent::More`]; one buffer may hold
/// many small files. Contents are handed through as slices of the input: nothing is copied but a
/// header that a piece cuts, and memory stays constant whatever the sender does. For contents that
/// do not pass through memory at all see [`TreeReader::content_left`].
///
/// ```
/// use feige::wire::Charset;
/// use feige::wire::tree::{TreeEvent, TreeReader};
///
/// let stream = b"000d:top:0:2:000f:a.txt:5:1:hello000b:.:0:3:";
/// let mut reader = TreeReader::folder(Charset::UTF_8);
/// for mut piece in stream.chunks(7) {
///     loop {
///         match reader.next(&mut piece)? {
///             TreeEvent::More | TreeEvent::End => break,
///             event => println!("{event:?}"),
///         }
///     }
/// }
/// reader.finish()?;
/// # Ok::<(), feige::wire::tree::TreeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct TreeReader {
    /// A header, or the junk before the first one, of which only a part has come.
    held: Vec<u8>,
    /// The last event was read from `held`, which is not needed any more.
    spent: bool,
    /// The first header was found: no junk may come from now on.
    begun: bool,
    walk: Walk,
    failed: Option<TreeError>,
}

/// What a [`TreeReader`] found. Names borrow from the reader or from its input.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TreeEvent<'a> {
    /// Enter a folder. The first event of an offered folder is itself.
    Folder(TreeEntry<'a>),
    /// A file begins; its contents follow, in no events at all if its size is 0.
    File(TreeEntry<'a>),
    /// The next contents of the file; never empty. It is whole when
    /// [`content_left`](TreeReader::content_left) is 0.
    Content(&'a [u8]),
    /// A link, a device or the like, passed over with its contents. Only from a reader that
    /// [skips](TreeReader::skipping_others) such entries.
    Other(TreeEntry<'a>),
    /// Leave the folder.
    Up {
        /// Attributes of the folder just left: kind [`UP`], perhaps with option bits.
        attr: u32,
        /// Times of the folder just left.
        times: Times,
    },
    /// All is there. What is left of the input does not belong to the stream.
    End,
    /// The input is used up, more is needed.
    More,
}

impl TreeReader {
    /// For the stream of an offered folder. `charset` is that of the request; a name that is none
    /// in it is read in UTF-8, or in GB18030 where UTF-8 was expected.
    pub fn folder(charset: Charset) -> Self {
        Self::new(charset, false)
    }

    /// For the stream of an offered regular file: one header, the contents, no way up.
    pub fn single_file(charset: Charset) -> Self {
        Self::new(charset, true)
    }

    fn new(charset: Charset, single: bool) -> Self {
        Self {
            held: Vec::new(),
            spent: false,
            begun: false,
            walk: Walk {
                charset,
                single,
                skip_others: false,
                content_max: u64::MAX,
                depth: 0,
                entries: 0,
                content: 0,
                left: 0,
                skipping: false,
                done: false,
            },
            failed: None,
        }
    }

    /// Refuses a stream whose files are larger than `bytes` together, at the header that goes
    /// beyond (threats rule 20).
    #[must_use]
    pub fn content_max(mut self, bytes: u64) -> Self {
        self.walk.content_max = bytes;
        self
    }

    /// Passes over links, devices, FIFOs and resource forks with [`TreeEvent::Other`] instead of
    /// ending with [`TreeError::Type`] (threats rule 23). Unknown kinds always end the stream.
    #[must_use]
    pub fn skipping_others(mut self) -> Self {
        self.walk.skip_others = true;
        self
    }

    /// The next event of `input`, whose front moves past what was read. After an error every
    /// further call gives that error again.
    pub fn next<'s, 'a: 's>(
        &'s mut self,
        input: &mut &'a [u8],
    ) -> Result<TreeEvent<'s>, TreeError> {
        if self.spent {
            self.held.clear();
            self.spent = false;
        }
        if let Some(error) = self.failed {
            return Err(error);
        }
        if let Some(content) = self.walk.take_content(input) {
            return Ok(content);
        }
        if self.walk.done {
            return Ok(TreeEvent::End);
        }
        let event = match self.find_header(input) {
            Ok(Found::More) => Ok(TreeEvent::More),
            Ok(Found::Here(fields)) => self.walk.enter(fields),
            Ok(Found::Held(frame)) => {
                self.spent = true;
                self.walk.enter(self.held.get(frame.fields..frame.end).unwrap_or_default())
            }
            Err(error) => Err(error),
        };
        self.failed = event.as_ref().err().copied();
        event
    }

    /// Tells that no more bytes come: an error unless all was there.
    pub fn finish(&self) -> Result<(), TreeError> {
        match self.failed {
            Some(error) => Err(error),
            None if self.walk.done && self.walk.left == 0 => Ok(()),
            None => Err(TreeError::Eof),
        }
    }

    /// Bytes of the present file that have not come yet. When the input is used up, so many bytes
    /// may go past this reader from the socket to the file, counted by
    /// [`content_moved`](TreeReader::content_moved).
    pub fn content_left(&self) -> u64 {
        self.walk.left
    }

    /// Counts `bytes` of the present file as come, at most [`content_left`](TreeReader::content_left).
    pub fn content_moved(&mut self, bytes: u64) {
        self.walk.left = self.walk.left.saturating_sub(bytes);
    }

    /// Files and folders seen. 0 at the end of a stream means that its sender closed without a
    /// byte, as FeiQ does when asked too soon (FeiQ dialect, 8).
    pub fn entries(&self) -> usize {
        self.walk.entries
    }

    /// Folders entered and not left.
    pub fn depth(&self) -> usize {
        self.walk.depth
    }

    /// Looks for the next whole header in what is held and in `input`; takes it, or what there is
    /// of it.
    fn find_header<'a>(&mut self, input: &mut &'a [u8]) -> Result<Found<'a>, TreeError> {
        let first = !self.begun;
        if self.held.is_empty() {
            let frame = Frame::find(input, first)?;
            if let Some((frame, (header, rest))) =
                frame.and_then(|frame| Some((frame, input.split_at_checked(frame.end)?)))
            {
                *input = rest;
                self.begun = true;
                return Ok(Found::Here(header.get(frame.fields..).unwrap_or_default()));
            }
        }
        loop {
            let wanted = match Frame::find(&self.held, first)? {
                Some(frame) if frame.end <= self.held.len() => {
                    self.begun = true;
                    return Ok(Found::Held(frame));
                }
                Some(frame) => frame.end - self.held.len(),
                None => memchr(b':', input).unwrap_or(Frame::lead_max(first)) + 1,
            };
            if input.is_empty() {
                return Ok(Found::More);
            }
            let (taken, rest) = input.split_at(wanted.min(input.len()));
            self.held.extend_from_slice(taken);
            *input = rest;
        }
    }
}

/// Where the next header is.
enum Found<'a> {
    /// Its fields, in the input.
    Here(&'a [u8]),
    /// In what was held.
    Held(Frame),
    /// Not all there yet.
    More,
}

/// Where in the tree the stream stands.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "two are fixed choices, two are the state")]
struct Walk {
    charset: Charset,
    single: bool,
    skip_others: bool,
    content_max: u64,
    depth: usize,
    entries: usize,
    /// Bytes of all contents announced.
    content: u64,
    /// Bytes of the present entry still to come.
    left: u64,
    /// The present entry is passed over.
    skipping: bool,
    /// The last header was read.
    done: bool,
}

impl Walk {
    /// Takes contents of the present entry from the input.
    fn take_content<'a>(&mut self, input: &mut &'a [u8]) -> Option<TreeEvent<'a>> {
        if self.left == 0 {
            return None;
        }
        let here = usize::try_from(self.left).unwrap_or(usize::MAX).min(input.len());
        let (content, rest) = input.split_at(here);
        *input = rest;
        self.left -= content.len() as u64;
        if !self.skipping && !content.is_empty() {
            return Some(TreeEvent::Content(content));
        }
        (self.left > 0).then_some(TreeEvent::More)
    }

    /// Goes where a header leads.
    fn enter<'h>(&mut self, fields: &'h [u8]) -> Result<TreeEvent<'h>, TreeError> {
        let header = Header::parse(fields)?;
        let (size, attr, times) = (header.size, header.attr, header.times);
        match header.kind() {
            UP => {
                self.depth = self.depth.checked_sub(1).ok_or(TreeError::Order)?;
                self.done = self.depth == 0;
                Ok(TreeEvent::Up { attr, times })
            }
            FOLDER => {
                let entry = self.entry(header)?;
                if self.single {
                    return Err(TreeError::Order);
                }
                if self.depth == DEPTH_MAX {
                    return Err(TreeError::Depth);
                }
                self.depth += 1;
                Ok(TreeEvent::Folder(entry))
            }
            REGULAR => {
                let entry = self.entry(header)?;
                self.expect_content(size, false)?;
                self.done = self.single;
                Ok(TreeEvent::File(entry))
            }
            // Symbolic link, character device, block device, FIFO, resource fork.
            4..=7 | 0x10 if self.skip_others => {
                let entry = self.entry(header)?;
                self.expect_content(size, true)?;
                Ok(TreeEvent::Other(entry))
            }
            _ => Err(TreeError::Type),
        }
    }

    fn entry<'h>(&mut self, header: Header<'h>) -> Result<TreeEntry<'h>, TreeError> {
        let (size, attr, times) = (header.size, header.attr, header.times);
        let name = header.name(self.charset)?;
        if self.entries == ENTRIES_MAX {
            return Err(TreeError::Entries);
        }
        self.entries += 1;
        Ok(TreeEntry { name, size, attr, times })
    }

    /// Contents follow: of a file in a folder, or of the offered file.
    fn expect_content(&mut self, size: u64, skipping: bool) -> Result<(), TreeError> {
        if self.depth == 0 && (skipping || !self.single) {
            return Err(TreeError::Order);
        }
        let content = self.content.checked_add(size).ok_or(TreeError::TooLarge)?;
        if content > self.content_max {
            return Err(TreeError::TooLarge);
        }
        (self.content, self.left, self.skipping) = (content, size, skipping);
        Ok(())
    }
}

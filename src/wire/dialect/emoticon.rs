//! The 96 emoticons of FeiQ: codes in the text, ASCII and case sensitive, in the order of FeiQ's own
//! panel (`feiq-dialect.md`, 5). They are not the names QQ uses.
//!
//! Pure tables and two functions: [`show`] for what comes in, [`Emoticon::of`] for what goes out.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::sync::LazyLock;

use super::super::body::bracketed;
use super::super::text::Charset;
use super::words::word;

/// One emoticon.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Emoticon {
    /// Its code in a text: `/:)`.
    pub code: &'static str,
    /// FeiQ's name for it.
    pub name: &'static str,
    /// The Unicode character that looks most like it; every one is used once.
    pub emoji: char,
}

impl Emoticon {
    /// The emoticon that looks like this character.
    pub fn of(emoji: char) -> Option<&'static Self> {
        // All of them lie in these blocks; everything else is told apart without a search.
        if !matches!(emoji, '\u{2600}'..='\u{27bf}' | '\u{1f300}'..='\u{1faff}') {
            return None;
        }
        EMOTICONS.iter().find(|emoticon| emoticon.emoji == emoji)
    }

    /// The emoticon whose code stands at the head of `text`, the longest if several do, and the
    /// length of the code.
    fn at(text: &str) -> Option<(&'static Self, usize)> {
        // The second character sorts out nearly every slash of a text, the third what is left in
        // one that is full of them.
        let [_, second, third, ..] = *text.as_bytes() else { return None };
        if !b":;<|8!".contains(&second) {
            return None;
        }
        let codes = BY_THIRD.get(usize::from(third))?;
        // The longest stands first.
        let (code, emoticon) = codes.iter().find(|(code, _)| text.starts_with(code))?;
        Some((emoticon, code.len()))
    }
}

/// Codes and what they stand for, the longest first.
type Codes = Vec<(&'static str, &'static Emoticon)>;

/// All codes by their third character, which is ASCII.
static BY_THIRD: LazyLock<Vec<Codes>> = LazyLock::new(|| {
    let known = EMOTICONS.iter().map(|emoticon| (emoticon.code, emoticon));
    let aliases = ALIASES.iter().filter_map(|&(alias, code)| {
        Some((alias, EMOTICONS.iter().find(|emoticon| emoticon.code == code)?))
    });
    let mut by_third = vec![Codes::new(); 128];
    for (code, emoticon) in known.chain(aliases) {
        let third = code.as_bytes().get(2).map(|&third| usize::from(third));
        if let Some(codes) = third.and_then(|third| by_third.get_mut(third)) {
            codes.push((code, emoticon));
            codes.sort_by_key(|(code, _)| Reverse(code.len()));
        }
    }
    by_third
});

/// A text of FeiQ as a reader should see it: codes become Unicode characters, except inside web
/// addresses (`http://8-)x` holds a code).
pub fn show(text: &str) -> Cow<'_, str> {
    let mut shown = String::new();
    let mut copied = 0;
    let mut from = 0;
    while let Some(slash) = text.get(from..).and_then(|rest| rest.find('/')).map(|at| from + at) {
        let rest = text.get(slash..).unwrap_or_default();
        if rest.starts_with("//") && ends_with_scheme(text.get(..slash).unwrap_or_default()) {
            from = slash + rest.find(ends_address).unwrap_or(rest.len());
        } else if let Some((emoticon, length)) = Emoticon::at(rest) {
            shown.push_str(text.get(copied..slash).unwrap_or_default());
            shown.push(emoticon.emoji);
            from = slash + length;
            copied = from;
        } else {
            from = slash + 1;
        }
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    shown.push_str(text.get(copied..).unwrap_or_default());
    Cow::Owned(shown)
}

/// Whether `text` ends with the scheme of a web address: `http:`.
fn ends_with_scheme(text: &str) -> bool {
    text.strip_suffix(':')
        .is_some_and(|text| text.ends_with(|last: char| last.is_ascii_alphanumeric()))
}

/// Whether a web address ends before this character.
fn ends_address(character: char) -> bool {
    !character.is_ascii_graphic() || matches!(character, '<' | '>' | '"')
}

/// A text as FeiQ can show it: characters that GBK lacks become their code, else a word in brackets:
/// `[笑哭]`, or their number where there is no word: `[U+00F1]`; with a blank before them where they
/// would become part of a web address. What only modifies the look of an emoji is left out: variation
/// selectors, and behind one with a code or a word the colour of skin and what joins it to the next.
pub fn substitute(text: &str) -> Cow<'_, str> {
    let Some(first) = text.find(|character| !is_gbk(character)) else {
        return Cow::Borrowed(text);
    };
    let (plain, rest) = text.split_at(first);
    let mut written = Written::with_capacity(text.len() + 16);
    plain.chars().for_each(|character| written.push(character));
    let mut after_emoji = false;
    for character in rest.chars() {
        let modifies = matches!(character, '\u{1f3fb}'..='\u{1f3ff}' | '\u{200d}');
        if matches!(character, '\u{fe00}'..='\u{fe0f}') || (modifies && after_emoji) {
            continue;
        }
        after_emoji = false;
        if is_gbk(character) {
            written.push(character);
        } else if let Some(emoticon) = Emoticon::of(character) {
            written.push_apart(emoticon.code);
            after_emoji = true;
        } else if let Some(word) = word(character) {
            written.push_apart(&format!("[{word}]"));
            after_emoji = true;
        } else {
            written.push_apart(&bracketed(character));
        }
    }
    Cow::Owned(written.text)
}

/// A text that is being written, and whether it ends inside a web address, as [`show`] finds them.
struct Written {
    text: String,
    in_address: bool,
}

impl Written {
    fn with_capacity(bytes: usize) -> Self {
        Self { text: String::with_capacity(bytes), in_address: false }
    }

    fn push(&mut self, character: char) {
        self.in_address = if self.in_address {
            !ends_address(character)
        } else {
            character == '/' && self.awaits_slash()
        };
        self.text.push(character);
    }

    /// Adds what stands for a character, and a blank before it where it would become part of an
    /// address or make one.
    fn push_apart(&mut self, substitute: &str) {
        if self.in_address || (substitute.starts_with('/') && self.awaits_slash()) {
            self.push(' ');
        }
        substitute.chars().for_each(|character| self.push(character));
    }

    /// Whether one more slash makes an address of it: `http:/`.
    fn awaits_slash(&self) -> bool {
        self.text.strip_suffix('/').is_some_and(ends_with_scheme)
    }
}

fn is_gbk(character: char) -> bool {
    // ASCII and the ideographs all of which GBK has need no search through its tables.
    character.is_ascii()
        || matches!(character, '\u{4e00}'..='\u{9fa5}')
        // A few characters share their bytes with another one, which is what would be read there.
        || Charset::GBK.round_trips(character)
}

const fn emoticon(code: &'static str, name: &'static str, emoji: char) -> Emoticon {
    Emoticon { code, name, emoji }
}

/// Every emoticon, in panel order: 16 columns, 6 rows.
pub const EMOTICONS: [Emoticon; 96] = [
    emoticon("/:)", "微笑", '🙂'),
    emoticon("/:~", "撇嘴", '😖'),
    emoticon("/:*", "色", '😍'),
    emoticon("/:|", "发呆", '😶'),
    emoticon("/8-)", "得意", '😎'),
    emoticon("/:<", "流泪", '😢'),
    emoticon("/:$", "害羞", '😊'),
    emoticon("/:X", "闭嘴", '🤐'),
    emoticon("/:Z", "睡", '😴'),
    emoticon("/:'(", "大哭", '😭'),
    emoticon("/:-|", "尴尬", '😅'),
    emoticon("/:@", "发怒", '😡'),
    emoticon("/:P", "调皮", '😛'),
    emoticon("/:D", "呲牙", '😁'),
    emoticon("/:O", "惊讶", '😮'),
    emoticon("/<rotate>", "转圈", '🌀'),
    emoticon("/:(", "难过", '🙁'),
    emoticon("/:+", "酷", '😏'),
    emoticon("/:lenhan", "冷汗", '😰'),
    emoticon("/:Q", "抓狂", '😫'),
    emoticon("/:T", "吐", '🤮'),
    emoticon("/;P", "偷笑", '🤭'),
    emoticon("/;-D", "可爱", '😌'),
    emoticon("/;d", "白眼", '🙄'),
    emoticon("/;o", "傲慢", '😤'),
    emoticon("/:g", "饥饿", '😋'),
    emoticon("/|-)", "困", '😪'),
    emoticon("/:!", "惊恐", '😱'),
    emoticon("/:L", "流汗", '😓'),
    emoticon("/:>", "憨笑", '😄'),
    emoticon("/;bin", "大兵", '🪖'),
    emoticon("/:fw", "飞吻", '😚'),
    emoticon("/;fd", "奋斗", '💪'),
    emoticon("/:-S", "咒骂", '🤬'),
    emoticon("/;?", "疑问", '🤔'),
    emoticon("/;x", "嘘", '🤫'),
    emoticon("/;@", "晕", '😵'),
    emoticon("/:8", "折磨", '😩'),
    emoticon("/;!", "衰", '😞'),
    emoticon("/!!!", "骷髅", '💀'),
    emoticon("/:xx", "敲打", '🔨'),
    emoticon("/:bye", "再见", '👋'),
    emoticon("/:csweat", "擦汗", '😥'),
    emoticon("/:knose", "抠鼻", '👃'),
    emoticon("/:applause", "鼓掌", '👏'),
    emoticon("/:cdale", "糗大了", '😳'),
    emoticon("/:huaixiao", "坏笑", '😼'),
    emoticon("/:shake", "发抖", '🥶'),
    emoticon("/:lhenhen", "左哼哼", '😒'),
    emoticon("/:rhenhen", "右哼哼", '😾'),
    emoticon("/:yawn", "哈欠", '🥱'),
    emoticon("/:snooty", "鄙视", '😑'),
    emoticon("/:chagrin", "委屈", '😣'),
    emoticon("/:kcry", "快哭了", '😿'),
    emoticon("/:yinxian", "阴险", '😈'),
    emoticon("/:qinqin", "亲亲", '😘'),
    emoticon("/:xiaren", "吓", '😨'),
    emoticon("/:kelin", "可怜", '🥹'),
    emoticon("/:caidao", "菜刀", '🔪'),
    emoticon("/:xig", "西瓜", '🍉'),
    emoticon("/:bj", "啤酒", '🍺'),
    emoticon("/:basketball", "篮球", '🏀'),
    emoticon("/:pingpong", "乒乓", '🏓'),
    emoticon("/:jump", "跳", '🕺'),
    emoticon("/:coffee", "咖啡", '☕'),
    emoticon("/:eat", "吃饭", '🍚'),
    emoticon("/:pig", "猪头", '🐷'),
    emoticon("/:rose", "玫瑰", '🌹'),
    emoticon("/:fade", "枯萎", '🥀'),
    emoticon("/:kiss", "示爱", '💋'),
    emoticon("/:heart", "爱心", '💗'),
    emoticon("/:break", "心碎", '💔'),
    emoticon("/:cake", "蛋糕", '🎂'),
    emoticon("/:shd", "闪电", '⚡'),
    emoticon("/:bomb", "炸弹", '💣'),
    emoticon("/:dao", "匕首", '🗡'),
    emoticon("/:footb", "足球", '⚽'),
    emoticon("/:piaocon", "瓢虫", '🐞'),
    emoticon("/:shit", "大便", '💩'),
    emoticon("/:oh", "怄火", '😠'),
    emoticon("/:moon", "月亮", '🌙'),
    emoticon("/:sun", "太阳", '☀'),
    emoticon("/;gift", "礼物", '🎁'),
    emoticon("/:hug", "拥抱", '🤗'),
    emoticon("/:strong", "强", '👍'),
    emoticon("/;weak", "弱", '👎'),
    emoticon("/:share", "握手", '🤝'),
    emoticon("/:shl", "胜利", '✌'),
    emoticon("/:baoquan", "抱拳", '🙏'),
    emoticon("/:cajole", "勾引", '🥺'),
    emoticon("/:quantou", "拳头", '👊'),
    emoticon("/:chajin", "差劲", '🤙'),
    emoticon("/:aini", "爱你", '🤟'),
    emoticon("/:sayno", "NO", '🙅'),
    emoticon("/:sayok", "OK", '👌'),
    emoticon("/:love", "爱情", '❤'),
];

/// Other spellings, and the code each stands for.
pub const ALIASES: [(&str, &str); 3] =
    [("/<!!>", "/<rotate>"), ("/:#", "/:lenhan"), ("/:-@", "/:@")];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_code_wins() {
        assert_eq!(show("/:shake/:share/:shit/:D/;-D/:-S/:)"), "🥶🤝💩😁😌🤬🙂");
        assert_eq!(show("/:X/:xx/:-|/:-@"), "🤐🔨😅😡");
    }

    #[test]
    fn slashes_that_are_no_code_stay() {
        for text in ["", "a/b", "/", "//", "/:", "1/2 /x", "路径/文件", "/:y"] {
            assert!(matches!(show(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn web_addresses_keep_their_codes() {
        assert_eq!(show("http://8-)x /8-)"), "http://8-)x 😎");
        assert_eq!(show("看https://a.b/:)c好/:)"), "看https://a.b/:)c好🙂");
        assert_eq!(show("//:)"), "/🙂");
    }

    #[test]
    fn every_emoji_goes_out_as_its_code_and_comes_back() {
        for emoticon in EMOTICONS {
            let text = format!("看{}!", emoticon.emoji);
            let sent = substitute(&text);
            assert_eq!(sent, format!("看{}!", emoticon.code), "{}", emoticon.name);
            assert_eq!(show(&sent), text);
            assert_eq!(Emoticon::of(emoticon.emoji), Some(&emoticon));
        }
    }

    #[test]
    fn what_gbk_lacks_is_named_by_a_word_or_its_number() {
        assert_eq!(substitute("去🚀吧"), "去[火箭]吧");
        assert_eq!(substitute("👨\u{200d}👩"), "[男人][女人]");
        assert_eq!(substitute("🤦🏽\u{200d}♂\u{fe0f}"), "[捂脸]♂");
        assert_eq!(substitute("a\u{200d}b🪐🏽"), "a[U+200D]b[U+1FA90][U+1F3FD]");
        assert_eq!(substitute("café"), "café");
        assert_eq!(substitute("ñ"), "[U+00F1]");
    }

    #[test]
    fn web_addresses_end_before_what_stands_for_an_emoji() {
        let sent = substitute("看https://a.com/x😊 好");
        assert_eq!(sent, "看https://a.com/x /:$ 好");
        assert_eq!(show(&sent), "看https://a.com/x 😊 好");
        assert_eq!(substitute("http://a/\u{fe0f}🚀😊b"), "http://a/ [火箭]/:$b");
        assert_eq!(substitute("http:/🙂 http:/🚀"), "http:/ /:) http:/[火箭]");
        assert_eq!(substitute("http://a.b。😊 //😊 a://b<😊"), "http://a.b。/:$ ///:$ a://b</:$");
    }

    #[test]
    fn looks_of_emoji_are_left_out() {
        assert_eq!(substitute("❤\u{fe0f}👍🏽"), "/:love/:strong");
        assert_eq!(substitute("☎\u{fe0f}"), "[电话]");
        assert_eq!(substitute("🏽"), "[U+1F3FD]");
    }

    #[test]
    fn text_gbk_holds_is_not_copied() {
        assert!(matches!(substitute("谢谢，a→b 123 €"), Cow::Borrowed(_)));
    }
}

//! A search key made ready to run: numbers resolved, strings converted and folded, what is cheap to
//! find out separated from what is not (RFC 9051 §6.4.4).

use std::borrow::Cow;
use std::ops::Range;

use restante_mailbox::{
    AccountId, EmailId, FlagFilter, Flags, Keywords, ModSeq, Row, ThreadId, Uid, UidSet,
};
use restante_message::{CharsetDecoder, SentDate, is_known_charset};
use restante_proto::types::{Code, Date, Keyword, SearchKey};
use restante_search::{Collation, EnvelopeField, Needle};

use super::filters;
use super::fuzzy::{self, FuzzyKey};
use crate::columns::{Answer, Derived, Values, sent_date, thread_id};
use crate::convert;
use crate::cx::Cx;
use crate::header_columns::{self, HeaderField};
use crate::reply::{Failure, Reply, client_bug};
use crate::state::{Login, Selected};

/// Keys that look into the message, in one command. Each of them is looked for in each message.
const LOOKS_MAX: usize = 1000;

pub(super) const DAY_S: i64 = 86_400;

/// The charsets that BADCHARSET names; there are more (RFC 9051 §7.1).
const CHARSETS: &[&str] = &[
    "US-ASCII",
    "UTF-8",
    "ISO-8859-1",
    "ISO-8859-2",
    "ISO-8859-15",
    "windows-1250",
    "windows-1251",
    "windows-1252",
    "KOI8-R",
    "ISO-2022-JP",
    "Shift_JIS",
    "EUC-JP",
    "EUC-KR",
    "GB18030",
    "Big5",
];

/// What a message must be like.
#[derive(Debug)]
pub(crate) enum Test {
    /// Every message, or none.
    Always(bool),
    /// Flags.
    Flags(FlagFilter),
    /// UIDs; sequence numbers have become UIDs.
    Uids(UidSet),
    /// Days since 1970 on the calendar of the internal date.
    Arrived(Range<i64>),
    /// Seconds since 1970 of the internal date (RFC 5032).
    ArrivedAt(Range<i64>),
    /// Days since 1970 of the save date (RFC 8514).
    Saved(Range<i64>),
    /// Bytes.
    Size(Range<u64>),
    /// This modseq or a later one (RFC 7162 §3.1.5).
    ModSeq(ModSeq),
    /// One email (RFC 8474).
    Email(EmailId),
    /// What is not in the mailbox's columns: index in [`Program::looks`].
    Look(usize),
    /// Something like this string (RFC 6203).
    Fuzzy(FuzzyKey),
    /// Not this.
    Not(Box<Test>),
    /// All of these.
    All(Vec<Test>),
    /// Any of these.
    Any(Vec<Test>),
}

/// A look into the email, cheapest first. What is in its row is in columns mostly ([`crate::columns`]).
#[derive(Debug)]
pub(crate) enum Look {
    /// Row: days since 1970 of the Date field, on the sender's calendar.
    Sent(Range<i64>),
    /// Row: the thread (RFC 8474).
    Thread(ThreadId),
    /// Row: a field of the envelope.
    Envelope(EnvelopeField, Needle),
    /// Header: fields of this name.
    Header {
        /// The field's name.
        name: Vec<u8>,
        /// What its text must contain.
        needle: Needle,
        /// The column that may know it: index in [`Program::headers`].
        column: Option<usize>,
    },
    /// Message: index in [`Program::body`].
    Body(usize),
    /// Message: index in [`Program::text`].
    Text(usize),
}

impl Look {
    /// The column that answers, if there is one.
    pub(crate) fn column(&self) -> Option<Derived> {
        match self {
            Look::Sent(_) => Some(Derived::Sent),
            Look::Thread(_) => Some(Derived::Thread),
            Look::Envelope(field, needle) => Some(Derived::Envelope(*field, needle.collation())),
            Look::Header { .. } | Look::Body(_) | Look::Text(_) => None,
        }
    }

    /// What the column says of messages with these UIDs.
    pub(crate) fn ask(
        &self,
        values: &Values,
        uid: impl Fn(usize) -> Uid,
        answers: &mut Vec<Answer>,
    ) {
        let answer = |is: Option<bool>| is.map_or(Answer::Gone, Answer::Is);
        match self {
            Look::Sent(days) => values.each(uid, |_, value| {
                // Without a Date there is nothing to compare (RFC 9051 §6.4.4).
                let is = |date: SentDate| days.contains(&date.local_day());
                answers.push(answer(value.map(|value| sent_date(value).is_some_and(is))));
            }),
            Look::Thread(thread) => values.each(uid, |_, value| {
                answers.push(answer(
                    value.map(|value| thread_id(value) == Some(thread.0)),
                ));
            }),
            Look::Envelope(_, needle) => values.find(needle, uid, |_, is| answers.push(is)),
            Look::Header { .. } | Look::Body(_) | Look::Text(_) => {}
        }
    }

    /// 1: the email's row, 2: the header, 3: the whole message.
    fn cost(&self) -> u8 {
        match self {
            Look::Sent(_) | Look::Thread(_) | Look::Envelope(..) => 1,
            Look::Header { .. } => 2,
            Look::Body(_) | Look::Text(_) => 3,
        }
    }
}

/// Where a string is looked for.
enum Place {
    Envelope(EnvelopeField),
    Header(Vec<u8>),
    Body,
    Text,
}

/// A search that can be run.
#[derive(Debug)]
pub(crate) struct Program {
    /// What every message found must be like.
    pub(crate) root: Test,
    /// What has to be found out about emails.
    pub(crate) looks: Vec<Look>,
    /// The header fields that have columns.
    pub(crate) headers: Vec<HeaderField>,
    /// The strings of BODY.
    pub(crate) body: Vec<Needle>,
    /// The strings of TEXT.
    pub(crate) text: Vec<Needle>,
    /// The strings that are looked for under FUZZY.
    pub(crate) fuzzy: Vec<FuzzyKey>,
    /// Whether a FUZZY key occurs: messages have scores (RFC 6203 §4).
    pub(crate) is_fuzzy: bool,
    /// The clock, in seconds since 1970, that OLDER and YOUNGER go by.
    pub(crate) now_s: i64,
    /// Whether a MODSEQ key occurs: the answer tells the highest (RFC 7162 §3.1.6).
    pub(crate) tells_mod_seq: bool,
}

impl Program {
    /// Makes a search ready.
    pub(crate) async fn new(
        cx: &mut Cx,
        login: &Login,
        selected: &mut Selected,
        charset: Option<&str>,
        key: SearchKey,
    ) -> Result<Program, Failure> {
        // First: with FILTER, an unknown charset is BAD (RFC 5466 §3.1).
        let key = filters::expand(cx, login, charset, key).await?;
        if let Some(charset) = charset {
            check_charset(cx, charset)?;
        }
        let mut sets = Vec::new();
        resolve_sets(selected, &key, &mut sets).await?;
        let now_s = login.account.now_ms().div_euclid(1000);
        let mut compiler = Compiler {
            account: selected.mailbox.account().id(),
            keywords: selected.view.snapshot().keywords(),
            recent: cx.enabled.recent().then(|| selected.view.recent()),
            all_uids: selected.view.all_uids(),
            charset,
            has_limit: cx.message_limit().is_some(),
            collation: cx.comparator.collation,
            fuzzy: false,
            now_s,
            sets: sets.into_iter(),
            program: Program {
                root: Test::Always(true),
                looks: Vec::new(),
                headers: Vec::new(),
                body: Vec::new(),
                text: Vec::new(),
                fuzzy: Vec::new(),
                is_fuzzy: false,
                now_s,
                tells_mod_seq: false,
            },
        };
        let root = compiler.test(key)?;
        let mut program = compiler.program;
        program.root = root;
        if program.tells_mod_seq {
            cx.condstore_aware(Some(selected));
        }
        Ok(program)
    }

    /// The UIDs that every message found has, if the search says so.
    pub(crate) fn uids(&self) -> Option<&UidSet> {
        let tests = match &self.root {
            Test::All(tests) => tests.as_slice(),
            test => std::slice::from_ref(test),
        };
        tests.iter().find_map(|test| match test {
            Test::Uids(uids) => Some(uids),
            _ => None,
        })
    }

    /// Whether it finds nothing, whatever there is.
    pub(crate) fn finds_nothing(&self) -> bool {
        matches!(self.root, Test::Always(false))
    }

    /// Finds none but these.
    pub(crate) fn only_among(&mut self, uids: UidSet) {
        let root = std::mem::replace(&mut self.root, Test::Always(true));
        self.root = Test::all(vec![Test::Uids(uids), root]);
    }

    /// Whether a message is one, as far as it is known. `look` answers for [`Test::Look`].
    pub(crate) fn decide(
        &self,
        row: &Row,
        look: &mut dyn FnMut(usize) -> Option<bool>,
    ) -> Option<bool> {
        self.root.decide(row, look)
    }
}

/// RFC 9051 §6.4.4: UTF-8 and US-ASCII must be; NO [BADCHARSET] for what is not known.
fn check_charset(cx: &Cx, charset: &str) -> Result<(), Failure> {
    // RFC 9755 §3; many write the name without its hyphen.
    let is_utf8 = ["UTF-8", "UTF8"]
        .iter()
        .any(|name| charset.eq_ignore_ascii_case(name));
    if cx.enabled.utf8_accept() && !is_utf8 {
        return Err(client_bug("UTF8=ACCEPT is enabled: the charset is UTF-8"));
    }
    if is_known_charset(charset) {
        return Ok(());
    }
    let known = CHARSETS.iter().map(|name| (*name).to_owned()).collect();
    Err(Reply::no("The charset is not supported")
        .code(Code::BadCharset(known))
        .into())
}

/// The UIDs of all sets in a key, in the order in which they occur. The decoder bounds the depth.
async fn resolve_sets(
    selected: &Selected,
    key: &SearchKey,
    out: &mut Vec<UidSet>,
) -> Result<(), Failure> {
    let mut keys = vec![key];
    while let Some(key) = keys.pop() {
        match key {
            SearchKey::Sequence(set) => out.push(selected.view.find_numbers(set).await?),
            SearchKey::Uid(set) => out.push(selected.view.resolve_uids(set).await?),
            SearchKey::Not(key) | SearchKey::Fuzzy(key) => keys.push(key),
            SearchKey::Or(list) | SearchKey::And(list) => keys.extend(list.iter().rev()),
            _ => {}
        }
    }
    Ok(())
}

struct Compiler<'a> {
    /// Whose mailbox is searched.
    account: AccountId,
    keywords: &'a Keywords,
    /// None: IMAP4rev2 is enabled, which has no `\Recent`.
    recent: Option<&'a UidSet>,
    all_uids: UidSet,
    charset: Option<&'a str>,
    /// MESSAGELIMIT is told, and its keys are known.
    has_limit: bool,
    collation: Collation,
    /// Whether the key stands under FUZZY.
    fuzzy: bool,
    now_s: i64,
    sets: std::vec::IntoIter<UidSet>,
    program: Program,
}

impl Compiler<'_> {
    fn test(&mut self, key: SearchKey) -> Result<Test, Failure> {
        use SearchKey as K;
        let with = |flags| Test::Flags(FlagFilter::with(flags));
        let without = |flags| Test::Flags(FlagFilter::without(flags));
        Ok(match key {
            K::All | K::SaveDateSupported => Test::Always(true),
            K::Answered => with(Flags::ANSWERED),
            K::Deleted => with(Flags::DELETED),
            K::Draft => with(Flags::DRAFT),
            K::Flagged => with(Flags::FLAGGED),
            K::Seen => with(Flags::SEEN),
            K::Unanswered => without(Flags::ANSWERED),
            K::Undeleted => without(Flags::DELETED),
            K::Undraft => without(Flags::DRAFT),
            K::Unflagged => without(Flags::FLAGGED),
            K::Unseen => without(Flags::SEEN),
            K::Recent => Test::Uids(self.recent()?.clone()),
            K::Old => Test::Uids(self.all_uids.difference(self.recent()?)),
            K::New => Test::all(vec![
                Test::Uids(self.recent()?.clone()),
                without(Flags::SEEN),
            ]),
            K::Keyword(keyword) => match self.keyword(&keyword) {
                Some(flag) => with(flag),
                None => Test::Always(false),
            },
            K::Unkeyword(keyword) => match self.keyword(&keyword) {
                Some(flag) => without(flag),
                None => Test::Always(true),
            },
            K::Before(date) => Test::Arrived(before(date)),
            K::On(date) => Test::Arrived(on(date)),
            K::Since(date) => Test::Arrived(since(date)),
            K::SavedBefore(date) => Test::Saved(before(date)),
            K::SavedOn(date) => Test::Saved(on(date)),
            K::SavedSince(date) => Test::Saved(since(date)),
            // RFC 5032 §2: the moment itself belongs to both.
            K::Older(seconds) => {
                Test::ArrivedAt(i64::MIN..self.now_s - i64::from(seconds.get()) + 1)
            }
            K::Younger(seconds) => Test::ArrivedAt(self.now_s - i64::from(seconds.get())..i64::MAX),
            K::Larger(size) => Test::Size(size.saturating_add(1)..u64::MAX),
            K::Smaller(size) => Test::Size(0..size),
            K::Sequence(_) | K::Uid(_) => Test::Uids(self.sets.next().unwrap_or_default()),
            K::UidAfter(_) | K::UidBefore(_) if !self.has_limit => {
                return Err(client_bug("MESSAGELIMIT is not supported"));
            }
            K::UidAfter(uid) => Test::Uids(match Uid::new(uid.get().saturating_add(1)) {
                Some(first) if uid.get() < u32::MAX => self
                    .all_uids
                    .intersect(&UidSet::from_range(first, Uid::MAX)),
                _ => UidSet::new(),
            }),
            K::UidBefore(uid) => Test::Uids(match Uid::new(uid.get() - 1) {
                Some(last) => self.all_uids.intersect(&UidSet::from_range(Uid::MIN, last)),
                None => UidSet::new(),
            }),
            // There is one modseq for all metadata of a message: the entry is ignored, as it must be.
            K::ModSeq { mod_seq, .. } => {
                self.program.tells_mod_seq = true;
                Test::ModSeq(ModSeq(mod_seq.get()))
            }
            K::EmailId(id) => match convert::parse_id('M', self.account, &id) {
                Some(id) => Test::Email(EmailId(id)),
                None => Test::Always(false),
            },
            K::ThreadId(id) => match convert::parse_id('T', self.account, &id) {
                Some(id) => Test::Look(self.look(Look::Thread(ThreadId(id)))?),
                None => Test::Always(false),
            },
            K::SentBefore(date) => Test::Look(self.look(Look::Sent(before(date)))?),
            K::SentOn(date) => Test::Look(self.look(Look::Sent(on(date)))?),
            K::SentSince(date) => Test::Look(self.look(Look::Sent(since(date)))?),
            K::Bcc(text) => self.string(Place::Envelope(EnvelopeField::Bcc), &text)?,
            K::Cc(text) => self.string(Place::Envelope(EnvelopeField::Cc), &text)?,
            K::From(text) => self.string(Place::Envelope(EnvelopeField::From), &text)?,
            K::To(text) => self.string(Place::Envelope(EnvelopeField::To), &text)?,
            K::Subject(text) => self.string(Place::Envelope(EnvelopeField::Subject), &text)?,
            // The envelope has the whole field, and clients ask for it often.
            K::Header { name, value } if name.eq_ignore_ascii_case(b"Message-ID") => {
                self.string(Place::Envelope(EnvelopeField::MessageId), &value)?
            }
            K::Header { name, value } => self.string(Place::Header(name), &value)?,
            K::Body(text) => self.string(Place::Body, &text)?,
            K::Text(text) => self.string(Place::Text, &text)?,
            K::Not(key) => {
                // What is meant to be left out is that and nothing like it.
                let fuzzy = std::mem::replace(&mut self.fuzzy, false);
                let test = self.test(*key)?.not(&self.all_uids);
                self.fuzzy = fuzzy;
                test
            }
            K::And(keys) => Test::all(self.tests(keys)?).sorted(&self.program.looks),
            K::Or(keys) => Test::any(self.tests(keys)?).sorted(&self.program.looks),
            K::Fuzzy(key) => {
                self.program.is_fuzzy = true;
                let fuzzy = std::mem::replace(&mut self.fuzzy, true);
                let test = self.test(*key)?;
                self.fuzzy = fuzzy;
                test
            }
            // They were expanded before.
            K::Filter(_) => return Err(client_bug("FILTER is not supported here")),
        })
    }

    fn tests(&mut self, keys: Vec<SearchKey>) -> Result<Vec<Test>, Failure> {
        keys.into_iter().map(|key| self.test(key)).collect()
    }

    /// `\Recent` (RFC 3501 §6.4.4); RFC 9051 has no such keys.
    fn recent(&self) -> Result<&UidSet, Failure> {
        self.recent
            .ok_or_else(|| client_bug("IMAP4rev2 has no RECENT, NEW and OLD"))
    }

    fn keyword(&self, keyword: &Keyword) -> Option<Flags> {
        self.keywords.flag(keyword.as_str())
    }

    /// A string that is looked for somewhere.
    fn string(&mut self, place: Place, text: &[u8]) -> Result<Test, Failure> {
        let text = self.decoded(text)?;
        if !self.fuzzy {
            return self.look_for(&place, &text).map(Test::Look);
        }
        let key = self.fuzzy_key(&place, &text)?;
        self.program.fuzzy.push(key.clone());
        Ok(Test::Fuzzy(key))
    }

    /// Looks for the words of a text, whatever their order and endings.
    fn fuzzy_key(&mut self, place: &Place, text: &str) -> Result<FuzzyKey, Failure> {
        let whole = self.look_for(place, text)?;
        let mut words: Vec<&str> = Vec::new();
        for word in text.split(|c: char| !c.is_alphanumeric()) {
            if !word.is_empty() && !words.contains(&word) {
                words.push(word);
            }
        }
        let mut key = FuzzyKey {
            whole,
            words: Vec::new(),
            subject: Vec::new(),
        };
        for word in words {
            let full = match word == text {
                true => whole,
                false => self.look_for(place, word)?,
            };
            let stem = match fuzzy::stem(word) {
                Some(stem) => self.look_for(place, stem)?,
                None => full,
            };
            key.words.push((full, stem));
            // What stands in the subject is what the message is about.
            if matches!(place, Place::Text) {
                let subject = Place::Envelope(EnvelopeField::Subject);
                key.subject.push(self.look_for(&subject, word)?);
            }
        }
        Ok(key)
    }

    /// The look for a string.
    fn look_for(&mut self, place: &Place, text: &str) -> Result<usize, Failure> {
        // Header values have no tabs (`decode_header_value`).
        let text = match place {
            Place::Envelope(_) | Place::Header(_) => Cow::Owned(text.replace('\t', " ")),
            Place::Body | Place::Text => Cow::Borrowed(text),
        };
        let needle = Needle::new(&text, self.collation);
        let look = match place {
            Place::Envelope(field) => Look::Envelope(*field, needle),
            Place::Header(name) => Look::Header {
                name: name.clone(),
                needle,
                column: self.header_column(name),
            },
            Place::Body => {
                self.program.body.push(needle);
                Look::Body(self.program.body.len() - 1)
            }
            Place::Text => {
                self.program.text.push(needle);
                Look::Text(self.program.text.len() - 1)
            }
        };
        self.look(look)
    }

    /// The column of a header field, of the first few fields.
    fn header_column(&mut self, name: &[u8]) -> Option<usize> {
        let headers = &mut self.program.headers;
        if let Some(at) = headers.iter().position(|field| field.is(name)) {
            return Some(at);
        }
        if headers.len() >= header_columns::FIELDS_MAX {
            return None;
        }
        headers.push(HeaderField::new(name, self.collation)?);
        Some(headers.len() - 1)
    }

    fn look(&mut self, look: Look) -> Result<usize, Failure> {
        if self.program.looks.len() >= LOOKS_MAX {
            return Err(Reply::no("Too many search keys").code(Code::Limit).into());
        }
        self.program.looks.push(look);
        Ok(self.program.looks.len() - 1)
    }

    /// A string of the command, in its charset.
    fn decoded(&self, text: &[u8]) -> Result<String, Failure> {
        let not_text = || client_bug("A string is not in the charset of the command");
        match self.charset {
            Some(charset) if !charset.eq_ignore_ascii_case("UTF-8") => {
                let mut converted = String::new();
                let mut decoder = CharsetDecoder::new(Some(charset));
                decoder.push(text, &mut converted);
                decoder.finish(&mut converted);
                match converted.contains(char::REPLACEMENT_CHARACTER) {
                    true => Err(not_text()),
                    false => Ok(converted),
                }
            }
            // RFC 9051 §6.4.4; RFC 3501 leaves other octets than ASCII open where there is no charset.
            _ => match std::str::from_utf8(text) {
                Ok(text) => Ok(text.to_owned()),
                Err(_) => Err(not_text()),
            },
        }
    }
}

/// Days before a date.
fn before(date: Date) -> Range<i64> {
    i64::MIN..date.days_since_epoch()
}

/// The day of a date.
fn on(date: Date) -> Range<i64> {
    date.days_since_epoch()..date.days_since_epoch() + 1
}

/// The day of a date and later ones.
fn since(date: Date) -> Range<i64> {
    date.days_since_epoch()..i64::MAX
}

impl Test {
    /// All of `tests`: what is about flags or UIDs is joined.
    fn all(tests: Vec<Test>) -> Test {
        let mut joined = Vec::with_capacity(tests.len());
        let (mut filter, mut uids) = (FlagFilter::default(), None::<UidSet>);
        for test in tests {
            match test {
                Test::Always(true) => {}
                Test::Always(false) => return Test::Always(false),
                Test::Flags(more) => {
                    filter.all = filter.all | more.all;
                    filter.none = filter.none | more.none;
                }
                Test::Uids(more) => {
                    uids = Some(match uids {
                        Some(uids) => uids.intersect(&more),
                        None => more,
                    });
                }
                Test::All(more) => {
                    for test in more {
                        match test {
                            Test::Flags(more) => {
                                filter.all = filter.all | more.all;
                                filter.none = filter.none | more.none;
                            }
                            Test::Uids(more) => {
                                uids = Some(match uids {
                                    Some(uids) => uids.intersect(&more),
                                    None => more,
                                });
                            }
                            other => joined.push(other),
                        }
                    }
                }
                other => joined.push(other),
            }
        }
        if filter.all.intersects(filter.none) || uids.as_ref().is_some_and(UidSet::is_empty) {
            return Test::Always(false);
        }
        if let Some(uids) = uids {
            joined.insert(0, Test::Uids(uids));
        }
        if filter != FlagFilter::default() {
            joined.insert(0, Test::Flags(filter));
        }
        match joined.len() {
            0 => Test::Always(true),
            1 => joined.remove(0),
            _ => Test::All(joined),
        }
    }

    /// Any of `tests`: sets of UIDs are joined.
    fn any(tests: Vec<Test>) -> Test {
        let mut joined = Vec::with_capacity(tests.len());
        let mut uids = Vec::new();
        for test in tests {
            match test {
                Test::Always(false) => {}
                Test::Always(true) => return Test::Always(true),
                Test::Uids(more) => uids.extend(more.ranges().map(|r| (*r.start(), *r.end()))),
                Test::Any(more) => joined.extend(more),
                other => joined.push(other),
            }
        }
        if !uids.is_empty() {
            joined.insert(0, Test::Uids(UidSet::from_unsorted(uids)));
        }
        match joined.len() {
            0 => Test::Always(false),
            1 => joined.remove(0),
            _ => Test::Any(joined),
        }
    }

    /// The opposite.
    fn not(self, all_uids: &UidSet) -> Test {
        match self {
            Test::Always(is) => Test::Always(!is),
            Test::Uids(uids) => Test::Uids(all_uids.difference(&uids)),
            Test::Not(test) => *test,
            Test::Flags(FlagFilter { all, none }) if none.is_empty() && is_one(all) => {
                Test::Flags(FlagFilter::without(all))
            }
            Test::Flags(FlagFilter { all, none }) if all.is_empty() && is_one(none) => {
                Test::Flags(FlagFilter::with(none))
            }
            test => Test::Not(Box::new(test)),
        }
    }

    /// With what is cheap to find out first.
    fn sorted(mut self, looks: &[Look]) -> Test {
        if let Test::All(tests) | Test::Any(tests) = &mut self {
            tests.sort_by_key(|test| test.cost(looks));
        }
        self
    }

    fn cost(&self, looks: &[Look]) -> u8 {
        match self {
            Test::Look(index) => looks.get(*index).map_or(0, Look::cost),
            Test::Fuzzy(key) => looks.get(key.whole).map_or(0, Look::cost),
            Test::Not(test) => test.cost(looks),
            Test::All(tests) | Test::Any(tests) => {
                tests.iter().map(|test| test.cost(looks)).max().unwrap_or(0)
            }
            _ => 0,
        }
    }

    /// Whether a message with these flags is one, if flags alone decide.
    pub(crate) fn of_flags(&self, flags: Flags) -> Option<bool> {
        let any_is = |tests: &[Test], wanted: bool| {
            let mut any = false;
            for test in tests {
                any |= test.of_flags(flags)? == wanted;
            }
            Some(any)
        };
        match self {
            Test::Always(is) => Some(*is),
            Test::Flags(filter) => Some(filter.passes(flags)),
            Test::Not(test) => Some(!test.of_flags(flags)?),
            Test::All(tests) => Some(!any_is(tests, false)?),
            Test::Any(tests) => any_is(tests, true),
            _ => None,
        }
    }

    fn decide(&self, row: &Row, look: &mut dyn FnMut(usize) -> Option<bool>) -> Option<bool> {
        Some(match self {
            Test::Always(is) => *is,
            Test::Flags(filter) => filter.passes(row.flags),
            Test::Uids(uids) => uids.contains(row.uid),
            Test::Arrived(days) => {
                let date = row.internal_date;
                let local = date.unix_s.saturating_add(i64::from(date.zone_min) * 60);
                days.contains(&local.div_euclid(DAY_S))
            }
            Test::ArrivedAt(seconds) => seconds.contains(&row.internal_date.unix_s),
            Test::Saved(days) => days.contains(&row.save_date_s.div_euclid(DAY_S)),
            Test::Size(bytes) => bytes.contains(&row.size),
            Test::ModSeq(modseq) => row.modseq >= *modseq,
            Test::Email(email) => row.email == *email,
            Test::Look(index) => return look(*index),
            Test::Fuzzy(key) => return key.decide(look),
            Test::Not(test) => !test.decide(row, look)?,
            Test::All(tests) => {
                let mut known = true;
                for test in tests {
                    match test.decide(row, look) {
                        Some(true) => {}
                        Some(false) => return Some(false),
                        None => known = false,
                    }
                }
                return known.then_some(true);
            }
            Test::Any(tests) => {
                let mut known = true;
                for test in tests {
                    match test.decide(row, look) {
                        Some(true) => return Some(true),
                        Some(false) => {}
                        None => known = false,
                    }
                }
                return known.then_some(false);
            }
        })
    }
}

fn is_one(flags: Flags) -> bool {
    flags.0.is_power_of_two()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use restante_mailbox::DateTime;

    use super::*;

    /// A search as it was written, to be taken literally.
    #[derive(Debug, Clone)]
    enum Written {
        All,
        Flag(u8),
        NoFlag(u8),
        Uids(Vec<u32>),
        Look(usize),
        Not(Box<Written>),
        And(Vec<Written>),
        Or(Vec<Written>),
    }

    impl Written {
        fn is_true(&self, row: &Row, looks: &[bool]) -> bool {
            match self {
                Written::All => true,
                Written::Flag(bit) => row.flags.0 >> bit & 1 == 1,
                Written::NoFlag(bit) => row.flags.0 >> bit & 1 == 0,
                Written::Uids(uids) => uids.contains(&row.uid.get()),
                Written::Look(index) => looks[*index],
                Written::Not(of) => !of.is_true(row, looks),
                Written::And(of) => of.iter().all(|of| of.is_true(row, looks)),
                Written::Or(of) => of.iter().any(|of| of.is_true(row, looks)),
            }
        }

        fn test(&self, looks: &[Look]) -> Test {
            let flag = |bit: &u8| Flags(1 << bit);
            match self {
                Written::All => Test::Always(true),
                Written::Flag(bit) => Test::Flags(FlagFilter::with(flag(bit))),
                Written::NoFlag(bit) => Test::Flags(FlagFilter::without(flag(bit))),
                Written::Uids(uids) => {
                    Test::Uids(uids.iter().filter_map(|uid| Uid::new(*uid)).collect())
                }
                Written::Look(index) => Test::Look(*index),
                Written::Not(of) => of.test(looks).not(&UidSet::all()),
                Written::And(of) => {
                    Test::all(of.iter().map(|of| of.test(looks)).collect()).sorted(looks)
                }
                Written::Or(of) => {
                    Test::any(of.iter().map(|of| of.test(looks)).collect()).sorted(looks)
                }
            }
        }
    }

    fn written() -> impl Strategy<Value = Written> {
        let leaf = prop_oneof![
            Just(Written::All),
            (0u8..3).prop_map(Written::Flag),
            (0u8..3).prop_map(Written::NoFlag),
            proptest::collection::vec(1u32..4, 0..3).prop_map(Written::Uids),
            (0usize..2).prop_map(Written::Look),
        ];
        leaf.prop_recursive(4, 24, 3, |inner| {
            prop_oneof![
                inner.clone().prop_map(|of| Written::Not(Box::new(of))),
                proptest::collection::vec(inner.clone(), 1..4).prop_map(Written::And),
                proptest::collection::vec(inner, 1..4).prop_map(Written::Or),
            ]
        })
    }

    fn rows() -> impl Iterator<Item = Row> {
        (1..4u32).flat_map(|uid| {
            (0..8u128).map(move |flags| Row {
                uid: Uid::new(uid).unwrap_or(Uid::MIN),
                email: EmailId(u64::from(uid)),
                size: 1,
                internal_date: DateTime::utc(0),
                save_date_s: 0,
                flags: Flags(flags),
                modseq: ModSeq(1),
            })
        })
    }

    proptest! {
        #[test]
        fn joining_changes_nothing(written in written(), looks in any::<[bool; 2]>()) {
            let kinds = [Look::Body(0), Look::Thread(ThreadId(1))];
            let test = written.test(&kinds);
            for row in rows() {
                let expected = written.is_true(&row, &looks);
                prop_assert_eq!(test.decide(&row, &mut |index| Some(looks[index])), Some(expected));
                if let Some(decided) = test.of_flags(row.flags) {
                    prop_assert_eq!(decided, expected);
                }
                // What is decided before everything is known stays so.
                for known in [[true, false], [false, true], [false, false]] {
                    let mut look = |index: usize| known[index].then_some(looks[index]);
                    if let Some(decided) = test.decide(&row, &mut look) {
                        prop_assert_eq!(decided, expected);
                    }
                }
            }
        }
    }

    #[test]
    fn flags_and_sets_are_joined() {
        let seen = || Test::Flags(FlagFilter::with(Flags::SEEN));
        let deleted = Test::Flags(FlagFilter::without(Flags::DELETED));
        let Test::Flags(filter) = Test::all(vec![seen(), deleted]) else {
            panic!("one filter");
        };
        assert_eq!((filter.all, filter.none), (Flags::SEEN, Flags::DELETED));
        let unseen = seen().not(&UidSet::all());
        assert!(matches!(
            Test::all(vec![seen(), unseen]),
            Test::Always(false)
        ));
    }
}

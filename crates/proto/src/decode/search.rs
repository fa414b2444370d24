//! SEARCH, SORT and THREAD (RFC 9051 §6.4.4, RFC 5256 and extensions).

use super::fetch;
use super::parser::{Parser, Result};
use crate::types::{
    CommandBody, EntryType, ModSeqEntry, PartialRange, Search, SearchKey, SearchReturn, Sort,
    SortCriterion, SortKey, Thread, ThreadAlgorithm, is_atom_char,
};

/// ```abnf
/// search         = "SEARCH" [search-return-opts] SP search-program
/// search-program = ["CHARSET" SP charset SP] search-key *(SP search-key)
/// ```
pub(super) fn search(p: &mut Parser<'_>, uid: bool) -> Result<CommandBody> {
    p.space()?;
    let returns = return_options(p)?;
    let (charset, key) = program(p)?;
    Ok(CommandBody::Search(Search {
        uid,
        returns,
        charset,
        key,
    }))
}

/// What a SEARCH says after its options.
pub(super) fn program(p: &mut Parser<'_>) -> Result<(Option<String>, SearchKey)> {
    let mut charset = None;
    if p.eat_word(b"CHARSET") {
        p.space()?;
        charset = Some(p.charset()?);
        p.space()?;
    }
    Ok((charset, keys(p)?))
}

/// `search-key *(SP search-key)` to the end of the command.
pub(super) fn keys(p: &mut Parser<'_>) -> Result<SearchKey> {
    p.until_end(key).map(all_of)
}

/// A list of one key is that key.
fn all_of(mut keys: Vec<SearchKey>) -> SearchKey {
    match keys.pop() {
        Some(key) if keys.is_empty() => key,
        Some(key) => {
            keys.push(key);
            SearchKey::And(keys)
        }
        None => SearchKey::All,
    }
}

/// ```abnf
/// search-return-opts = SP "RETURN" SP "(" [search-return-opt *(SP search-return-opt)] ")"
/// search-return-opt  = "MIN" / "MAX" / "ALL" / "COUNT" / "SAVE" / search-ret-opt-ext
/// search-return-opt  =/ "CONTEXT" / "UPDATE" / modifier-partial / "RELEVANCY"
/// modifier-update    = "UPDATE" ["(" fetch-att *(SP fetch-att) ")"]       ; RFC 5465 §8
/// ```
/// Takes the space after it too.
pub(super) fn return_options(p: &mut Parser<'_>) -> Result<Option<SearchReturn>> {
    if !p.eat_word(b"RETURN") {
        return Ok(None);
    }
    p.space()?;
    let mut returns = SearchReturn::default();
    let options = p.list(true, |p| {
        match p.word().as_bytes() {
            b"MIN" => returns.min = true,
            b"MAX" => returns.max = true,
            b"ALL" => returns.all = true,
            b"COUNT" => returns.count = true,
            b"SAVE" => returns.save = true,
            b"CONTEXT" => returns.context = true,
            b"RELEVANCY" => returns.relevancy = true,
            b"PARTIAL" => {
                p.space()?;
                if returns.partial.replace(partial_range(p)?).is_some() {
                    return p.syntax("more than one PARTIAL");
                }
            }
            b"UPDATE" => {
                // The RFC's grammar has no space before the list, its examples have one.
                let start = p.position();
                let listed = (p.eat(b' ') || p.peek() == Some(b'(')) && p.peek() == Some(b'(');
                if listed {
                    returns.update = Some(p.list(false, fetch::attribute)?);
                } else {
                    p.rewind(start);
                    returns.update = Some(Vec::new());
                }
            }
            _ => return p.syntax("unknown search return option"),
        }
        Ok(())
    })?;
    // RFC 9051 §6.4.4: an empty list is ALL.
    if options.is_empty() {
        returns.all = true;
    }
    // RFC 9394 §3.1
    if returns.all && returns.partial.is_some() {
        return p.syntax("PARTIAL and ALL exclude each other");
    }
    p.space()?;
    Ok(Some(returns))
}

/// ```abnf
/// partial-range-first = nz-number ":" nz-number                   ; RFC 9394 §4
/// partial-range-last  = MINUS nz-number ":" MINUS nz-number
/// ```
pub(crate) fn partial_range(p: &mut Parser<'_>) -> Result<PartialRange> {
    let last = p.eat(b'-');
    let first = p.nz_number()?;
    p.expect(b':', "expected \":\"")?;
    if last {
        p.expect(b'-', "expected \"-\"")?;
        return Ok(PartialRange::Last(first, p.nz_number()?));
    }
    Ok(PartialRange::First(first, p.nz_number()?))
}

/// ```abnf
/// search-key = "ALL" / "ANSWERED" / "BCC" SP astring / "BEFORE" SP date / … /
///              "OR" SP search-key SP search-key / "NOT" SP search-key /
///              "UID" SP sequence-set / sequence-set / "(" search-key *(SP search-key) ")"
/// ```
/// and those of RFC 3501, 5032, 5466, 6203, 7162, 8474, 8514.
fn key(p: &mut Parser<'_>) -> Result<SearchKey> {
    match p.peek() {
        Some(b'0'..=b'9' | b'*' | b'$') => return p.set().map(SearchKey::Sequence),
        Some(b'(') => return p.nested(|p| p.list(false, key)).map(all_of),
        _ => {}
    }
    let word = p.word();
    Ok(match word.as_bytes() {
        b"ALL" => SearchKey::All,
        b"ANSWERED" => SearchKey::Answered,
        b"DELETED" => SearchKey::Deleted,
        b"DRAFT" => SearchKey::Draft,
        b"FLAGGED" => SearchKey::Flagged,
        b"SEEN" => SearchKey::Seen,
        b"UNANSWERED" => SearchKey::Unanswered,
        b"UNDELETED" => SearchKey::Undeleted,
        b"UNDRAFT" => SearchKey::Undraft,
        b"UNFLAGGED" => SearchKey::Unflagged,
        b"UNSEEN" => SearchKey::Unseen,
        b"NEW" => SearchKey::New,
        b"OLD" => SearchKey::Old,
        b"RECENT" => SearchKey::Recent,
        b"SAVEDATESUPPORTED" => SearchKey::SaveDateSupported,
        b"NOT" => {
            p.space()?;
            SearchKey::Not(Box::new(p.nested(key)?))
        }
        b"FUZZY" => {
            p.space()?;
            SearchKey::Fuzzy(Box::new(p.nested(key)?))
        }
        b"OR" => or(p)?,
        word => {
            p.space()?;
            return key_with_argument(p, word);
        }
    })
}

/// `"OR" SP search-key SP search-key`: a chain of them, however long, is read in one loop.
fn or(p: &mut Parser<'_>) -> Result<SearchKey> {
    let mut keys = Vec::new();
    loop {
        p.space()?;
        p.count_item()?;
        keys.push(p.nested(key)?);
        p.space()?;
        if !p.eat_word(b"OR") {
            keys.push(p.nested(key)?);
            return Ok(SearchKey::Or(keys));
        }
    }
}

fn key_with_argument(p: &mut Parser<'_>, word: &[u8]) -> Result<SearchKey> {
    Ok(match word {
        b"BCC" => SearchKey::Bcc(p.astring_owned()?),
        b"CC" => SearchKey::Cc(p.astring_owned()?),
        b"FROM" => SearchKey::From(p.astring_owned()?),
        b"TO" => SearchKey::To(p.astring_owned()?),
        b"SUBJECT" => SearchKey::Subject(p.astring_owned()?),
        b"BODY" => SearchKey::Body(p.astring_owned()?),
        b"TEXT" => SearchKey::Text(p.astring_owned()?),
        b"HEADER" => {
            let name = p.astring_owned()?;
            p.space()?;
            SearchKey::Header {
                name,
                value: p.astring_owned()?,
            }
        }
        b"KEYWORD" => SearchKey::Keyword(p.atom()?),
        b"UNKEYWORD" => SearchKey::Unkeyword(p.atom()?),
        b"BEFORE" => SearchKey::Before(p.date()?),
        b"ON" => SearchKey::On(p.date()?),
        b"SINCE" => SearchKey::Since(p.date()?),
        b"SENTBEFORE" => SearchKey::SentBefore(p.date()?),
        b"SENTON" => SearchKey::SentOn(p.date()?),
        b"SENTSINCE" => SearchKey::SentSince(p.date()?),
        b"SAVEDBEFORE" => SearchKey::SavedBefore(p.date()?),
        b"SAVEDON" => SearchKey::SavedOn(p.date()?),
        b"SAVEDSINCE" => SearchKey::SavedSince(p.date()?),
        b"LARGER" => SearchKey::Larger(p.number64()?),
        b"SMALLER" => SearchKey::Smaller(p.number64()?),
        b"UID" => SearchKey::Uid(p.set()?),
        b"OLDER" => SearchKey::Older(p.nz_number()?),
        b"YOUNGER" => SearchKey::Younger(p.nz_number()?),
        b"UIDAFTER" => SearchKey::UidAfter(p.nz_number()?.into()),
        b"UIDBEFORE" => SearchKey::UidBefore(p.nz_number()?.into()),
        b"MODSEQ" => mod_seq(p)?,
        b"EMAILID" => SearchKey::EmailId(p.object_id()?),
        b"THREADID" => SearchKey::ThreadId(p.object_id()?),
        b"FILTER" => SearchKey::Filter(filter_name(p)?),
        _ => return p.syntax("unknown search key"),
    })
}

/// `filter-name = 1*<any ATOM-CHAR except "/">` (RFC 5466 §4), also as a string. Any other would have to stand in a
/// response code.
fn filter_name(p: &mut Parser<'_>) -> Result<Vec<u8>> {
    let name = p.astring_owned()?;
    let fits = |byte: &u8| is_atom_char(*byte) && *byte != b'/';
    match !name.is_empty() && name.iter().all(fits) {
        true => Ok(name),
        false => p.syntax("no name of a filter"),
    }
}

/// ```abnf
/// search-modsequence = "MODSEQ" [search-modseq-ext] SP mod-sequence-valzer   ; RFC 7162 §7
/// search-modseq-ext  = SP entry-name SP entry-type-req
/// ```
fn mod_seq(p: &mut Parser<'_>) -> Result<SearchKey> {
    let mut entry = None;
    if !p.peek().is_some_and(|b| b.is_ascii_digit()) {
        let name = p.string()?.into_owned();
        p.space()?;
        let kind = match p.word().as_bytes() {
            b"PRIV" => EntryType::Private,
            b"SHARED" => EntryType::Shared,
            b"ALL" => EntryType::All,
            _ => return p.syntax("expected priv, shared or all"),
        };
        p.space()?;
        entry = Some(ModSeqEntry { name, kind });
    }
    Ok(SearchKey::ModSeq {
        entry,
        mod_seq: p.mod_seq()?,
    })
}

/// ```abnf
/// sort            = ["UID" SP] "SORT" [search-return-opts] SP sort-criteria SP search-criteria
/// sort-criteria   = "(" sort-criterion *(SP sort-criterion) ")"
/// search-criteria = charset 1*(SP search-key)
/// ```
pub(super) fn sort(p: &mut Parser<'_>, uid: bool) -> Result<CommandBody> {
    p.space()?;
    let returns = return_options(p)?;
    let criteria = p.list(false, sort_criterion)?;
    p.space()?;
    let charset = p.charset()?;
    p.space()?;
    let key = keys(p)?;
    Ok(CommandBody::Sort(Sort {
        uid,
        returns,
        criteria,
        charset,
        key,
    }))
}

/// ```abnf
/// sort-criterion = ["REVERSE" SP] sort-key
/// sort-key       =  "ARRIVAL" / "CC" / "DATE" / "FROM" / "SIZE" / "SUBJECT" / "TO"
/// sort-key       =/ "DISPLAYFROM" / "DISPLAYTO"                   ; RFC 5957
/// sort-key       =/ "RELEVANCY"                                   ; RFC 6203
/// ```
fn sort_criterion(p: &mut Parser<'_>) -> Result<SortCriterion> {
    let reverse = p.eat_word(b"REVERSE");
    if reverse {
        p.space()?;
    }
    let key = match p.word().as_bytes() {
        b"ARRIVAL" => SortKey::Arrival,
        b"CC" => SortKey::Cc,
        b"DATE" => SortKey::Date,
        b"FROM" => SortKey::From,
        b"SIZE" => SortKey::Size,
        b"SUBJECT" => SortKey::Subject,
        b"TO" => SortKey::To,
        b"DISPLAYFROM" => SortKey::DisplayFrom,
        b"DISPLAYTO" => SortKey::DisplayTo,
        b"RELEVANCY" => SortKey::Relevancy,
        _ => return p.syntax("unknown sort key"),
    };
    Ok(SortCriterion { reverse, key })
}

/// ```abnf
/// thread     = ["UID" SP] "THREAD" SP thread-alg SP search-criteria
/// thread-alg = "ORDEREDSUBJECT" / "REFERENCES" / thread-alg-ext
/// ```
pub(super) fn thread(p: &mut Parser<'_>, uid: bool) -> Result<CommandBody> {
    p.space()?;
    let name = p.atom()?;
    let algorithm = match () {
        () if name.is("ORDEREDSUBJECT") => ThreadAlgorithm::OrderedSubject,
        () if name.is("REFERENCES") => ThreadAlgorithm::References,
        () if name.is("REFS") => ThreadAlgorithm::Refs,
        () => ThreadAlgorithm::Other(name),
    };
    p.space()?;
    let charset = p.charset()?;
    p.space()?;
    let key = keys(p)?;
    Ok(CommandBody::Thread(Thread {
        uid,
        algorithm,
        charset,
        key,
    }))
}

//! Writes SEARCH, SORT, THREAD and ESEARCH.

use super::cursor::DEPTH_MAX;
use super::encode::{fetch_attribute, partial_range, words};
use super::out::{CommandEncodeError, Out, Result};
use crate::types::{
    EntryType, EsearchCommand, MailboxFilter, MailboxName, Search, SearchKey, SearchReturn, Sort,
    SortKey, Thread, ThreadAlgorithm,
};

/// `[search-return-opts] SP ["CHARSET" SP charset SP] search-key *(SP search-key)`
pub(super) fn search(out: &mut Out, search: &Search) -> Result {
    returns(out, search.returns.as_ref())?;
    charset(out, search.charset.as_deref())?;
    program(out, &search.key)
}

/// RFC 5256 §5, RFC 5267 §5
pub(super) fn sort(out: &mut Out, sort: &Sort) -> Result {
    returns(out, sort.returns.as_ref())?;
    if sort.criteria.is_empty() {
        return Err(CommandEncodeError::Empty("the sort criteria"));
    }
    out.raw(" ");
    out.list(&sort.criteria, |out, criterion| {
        out.raw(if criterion.reverse { "REVERSE " } else { "" });
        out.raw(match criterion.key {
            SortKey::Arrival => "ARRIVAL",
            SortKey::Cc => "CC",
            SortKey::Date => "DATE",
            SortKey::From => "FROM",
            SortKey::Size => "SIZE",
            SortKey::Subject => "SUBJECT",
            SortKey::To => "TO",
            SortKey::DisplayFrom => "DISPLAYFROM",
            SortKey::DisplayTo => "DISPLAYTO",
            SortKey::Relevancy => "RELEVANCY",
        });
        Ok(())
    })?;
    out.sp_astring(sort.charset.as_bytes())?;
    program(out, &sort.key)
}

/// RFC 5256 §5
pub(super) fn thread(out: &mut Out, thread: &Thread) -> Result {
    out.raw(" ");
    out.raw(match &thread.algorithm {
        ThreadAlgorithm::OrderedSubject => "ORDEREDSUBJECT",
        ThreadAlgorithm::References => "REFERENCES",
        ThreadAlgorithm::Refs => "REFS",
        ThreadAlgorithm::Other(name) => name.as_str(),
    });
    out.sp_astring(thread.charset.as_bytes())?;
    program(out, &thread.key)
}

/// RFC 7377 §4
pub(super) fn esearch(out: &mut Out, esearch: &EsearchCommand) -> Result {
    if let Some(scope) = &esearch.scope {
        out.raw(" IN ");
        out.list(&scope.mailboxes, mailbox_filter)?;
    }
    returns(out, esearch.returns.as_ref())?;
    charset(out, esearch.charset.as_deref())?;
    program(out, &esearch.key)
}

/// `filter-mailboxes` (RFC 5465 §8, RFC 7377 §4)
pub(super) fn mailbox_filter(out: &mut Out, filter: &MailboxFilter) -> Result {
    let names = |out: &mut Out, word: &str, names: &[MailboxName]| {
        if names.is_empty() {
            return Err(CommandEncodeError::Empty("a list of mailboxes"));
        }
        out.raw(word);
        out.raw(" ");
        out.list(names, |out, name| out.name(name.as_str(), false))
    };
    out.raw(match filter {
        MailboxFilter::Selected => "selected",
        MailboxFilter::SelectedDelayed => "selected-delayed",
        MailboxFilter::Inboxes => "inboxes",
        MailboxFilter::Personal => "personal",
        MailboxFilter::Subscribed => "subscribed",
        MailboxFilter::Subtree(list) => return names(out, "subtree", list),
        MailboxFilter::SubtreeOne(list) => return names(out, "subtree-one", list),
        MailboxFilter::Mailboxes(list) => return names(out, "mailboxes", list),
    });
    Ok(())
}

fn charset(out: &mut Out, charset: Option<&str>) -> Result {
    let Some(charset) = charset else {
        return Ok(());
    };
    out.raw(" CHARSET ");
    out.atom_or_string(charset.as_bytes())
}

fn returns(out: &mut Out, returns: Option<&SearchReturn>) -> Result {
    let Some(returns) = returns else {
        return Ok(());
    };
    out.raw(" RETURN ");
    let mut inner = Out::new(out.encoding);
    words(
        &mut inner,
        &[
            (returns.min, "MIN"),
            (returns.max, "MAX"),
            (returns.all, "ALL"),
            (returns.count, "COUNT"),
            (returns.save, "SAVE"),
            (returns.context, "CONTEXT"),
            (returns.relevancy, "RELEVANCY"),
        ],
    )?;
    let list = inner.command.segments.concat();
    out.raw(&list[..list.len() - 1]);
    let mut more = list.len() > 2;
    if let Some(range) = returns.partial {
        out.raw(if more { " PARTIAL " } else { "PARTIAL " });
        partial_range(out, range);
        more = true;
    }
    if let Some(attributes) = &returns.update {
        out.raw(if more { " UPDATE" } else { "UPDATE" });
        if !attributes.is_empty() {
            out.raw(" ");
            out.list(attributes, fetch_attribute)?;
        }
    }
    out.raw(")");
    Ok(())
}

/// The keys of a command: those of an [`SearchKey::And`] stand without parentheses.
fn program(out: &mut Out, key: &SearchKey) -> Result {
    match key {
        SearchKey::And(keys) if !keys.is_empty() => {
            for key in keys {
                out.raw(" ");
                search_key(out, key, 0)?;
            }
            Ok(())
        }
        key => {
            out.raw(" ");
            search_key(out, key, 0)
        }
    }
}

/// `search-key`
fn search_key(out: &mut Out, key: &SearchKey, depth: usize) -> Result {
    use SearchKey as K;
    if depth > DEPTH_MAX {
        return Err(CommandEncodeError::TooDeep);
    }
    let (word, text) = match key {
        K::All => ("ALL", None),
        K::Answered => ("ANSWERED", None),
        K::Deleted => ("DELETED", None),
        K::Draft => ("DRAFT", None),
        K::Flagged => ("FLAGGED", None),
        K::Seen => ("SEEN", None),
        K::Unanswered => ("UNANSWERED", None),
        K::Undeleted => ("UNDELETED", None),
        K::Undraft => ("UNDRAFT", None),
        K::Unflagged => ("UNFLAGGED", None),
        K::Unseen => ("UNSEEN", None),
        K::New => ("NEW", None),
        K::Old => ("OLD", None),
        K::Recent => ("RECENT", None),
        K::SaveDateSupported => ("SAVEDATESUPPORTED", None),
        K::Bcc(text) => ("BCC", Some(text)),
        K::Cc(text) => ("CC", Some(text)),
        K::From(text) => ("FROM", Some(text)),
        K::To(text) => ("TO", Some(text)),
        K::Subject(text) => ("SUBJECT", Some(text)),
        K::Body(text) => ("BODY", Some(text)),
        K::Text(text) => ("TEXT", Some(text)),
        K::Filter(name) => ("FILTER", Some(name)),
        other => return compound_key(out, other, depth),
    };
    out.raw(word);
    match text {
        Some(text) => out.sp_astring(text),
        None => Ok(()),
    }
}

fn compound_key(out: &mut Out, key: &SearchKey, depth: usize) -> Result {
    use SearchKey as K;
    match key {
        K::Keyword(keyword) => out.raw(format!("KEYWORD {keyword}")),
        K::Unkeyword(keyword) => out.raw(format!("UNKEYWORD {keyword}")),
        K::Header { name, value } => {
            out.raw("HEADER");
            out.sp_astring(name)?;
            out.sp_astring(value)?;
        }
        K::Before(date) => out.raw(format!("BEFORE {date}")),
        K::On(date) => out.raw(format!("ON {date}")),
        K::Since(date) => out.raw(format!("SINCE {date}")),
        K::SentBefore(date) => out.raw(format!("SENTBEFORE {date}")),
        K::SentOn(date) => out.raw(format!("SENTON {date}")),
        K::SentSince(date) => out.raw(format!("SENTSINCE {date}")),
        K::SavedBefore(date) => out.raw(format!("SAVEDBEFORE {date}")),
        K::SavedOn(date) => out.raw(format!("SAVEDON {date}")),
        K::SavedSince(date) => out.raw(format!("SAVEDSINCE {date}")),
        K::Larger(size) => out.raw(format!("LARGER {size}")),
        K::Smaller(size) => out.raw(format!("SMALLER {size}")),
        K::Older(seconds) => out.raw(format!("OLDER {seconds}")),
        K::Younger(seconds) => out.raw(format!("YOUNGER {seconds}")),
        K::UidAfter(uid) => out.raw(format!("UIDAFTER {}", uid.get())),
        K::UidBefore(uid) => out.raw(format!("UIDBEFORE {}", uid.get())),
        K::EmailId(id) => out.raw(format!("EMAILID {id}")),
        K::ThreadId(id) => out.raw(format!("THREADID {id}")),
        K::Sequence(set) => out.set(set)?,
        K::Uid(set) => {
            out.raw("UID ");
            out.set(set)?;
        }
        K::ModSeq { entry, mod_seq } => {
            out.raw("MODSEQ ");
            if let Some(entry) = entry {
                out.quoted(&entry.name);
                out.raw(match entry.kind {
                    EntryType::Private => " priv ",
                    EntryType::Shared => " shared ",
                    EntryType::All => " all ",
                });
            }
            out.number(mod_seq.get());
        }
        K::Not(key) => {
            out.raw("NOT ");
            search_key(out, key, depth + 1)?;
        }
        K::Fuzzy(key) => {
            out.raw("FUZZY ");
            search_key(out, key, depth + 1)?;
        }
        K::Or(keys) => or(out, keys, depth)?,
        K::And(keys) if keys.is_empty() => {
            return Err(CommandEncodeError::Empty("a list of search keys"));
        }
        K::And(keys) => out.list(keys, |out, key| search_key(out, key, depth + 1))?,
        // The others are written by `search_key`.
        simple => debug_assert!(false, "{simple:?}"),
    }
    Ok(())
}

/// `OR a OR b c`: the form of a list of more than two.
fn or(out: &mut Out, keys: &[SearchKey], depth: usize) -> Result {
    let Some((last, others)) = keys.split_last() else {
        return Err(CommandEncodeError::Empty("a list of search keys"));
    };
    for key in others {
        out.raw("OR ");
        search_key(out, key, depth + 1)?;
        out.raw(" ");
    }
    search_key(out, last, depth + 1)
}

//! LIST and LSUB (RFC 9051 §6.3.9, RFC 3501 §6.3.9, RFC 5258).

use super::parser::{Parser, Result};
use super::status_items;
use crate::types::{CommandBody, List, ListPattern, ListReturn, ListSelect};

/// ```abnf
/// list        = "LIST" [SP list-select-opts] SP mailbox SP mbox-or-pat [SP list-return-opts]
/// mbox-or-pat = list-mailbox / patterns
/// patterns    = "(" list-mailbox *(SP list-mailbox) ")"
/// ```
pub(super) fn list(p: &mut Parser<'_>) -> Result<CommandBody> {
    p.space()?;
    let mut list = List::default();
    if p.peek() == Some(b'(') {
        list.select = Some(select_options(p)?);
        p.space()?;
    }
    list.reference = text(p)?;
    p.space()?;
    if p.peek() == Some(b'(') {
        list.pattern_list = true;
        list.patterns = p.list(false, pattern)?;
    } else {
        list.patterns.push(pattern(p)?);
    }
    if !p.only_spaces_left() {
        p.space()?;
        if !p.eat_word(b"RETURN") {
            return p.syntax("expected RETURN");
        }
        p.space()?;
        list.returns = Some(return_options(p)?);
    }
    Ok(CommandBody::List(list))
}

/// ```abnf
/// lsub = "LSUB" SP mailbox SP list-mailbox
/// ```
pub(super) fn lsub(p: &mut Parser<'_>) -> Result<CommandBody> {
    let (reference, pattern) = reference_and_pattern(p)?;
    Ok(CommandBody::Lsub { reference, pattern })
}

/// ```abnf
/// xlist = "XLIST" SP mailbox SP list-mailbox
/// ```
pub(super) fn xlist(p: &mut Parser<'_>) -> Result<CommandBody> {
    let (reference, pattern) = reference_and_pattern(p)?;
    Ok(CommandBody::Xlist { reference, pattern })
}

/// ```abnf
/// rlist = "RLIST" SP mailbox SP list-mailbox                      ; RFC 2193 §6
/// ```
pub(super) fn rlist(p: &mut Parser<'_>) -> Result<CommandBody> {
    let (reference, pattern) = reference_and_pattern(p)?;
    Ok(CommandBody::Rlist { reference, pattern })
}

/// ```abnf
/// rlsub = "RLSUB" SP mailbox SP list-mailbox                      ; RFC 2193 §6
/// ```
pub(super) fn rlsub(p: &mut Parser<'_>) -> Result<CommandBody> {
    let (reference, pattern) = reference_and_pattern(p)?;
    Ok(CommandBody::Rlsub { reference, pattern })
}

fn reference_and_pattern(p: &mut Parser<'_>) -> Result<(String, ListPattern)> {
    p.space()?;
    let reference = text(p)?;
    p.space()?;
    Ok((reference, pattern(p)?))
}

fn text(p: &mut Parser<'_>) -> Result<String> {
    let text = p.astring()?;
    p.mailbox_text(&text)
}

/// ```abnf
/// list-mailbox = 1*list-char / string
/// list-char    = ATOM-CHAR / list-wildcards / resp-specials
/// ```
fn pattern(p: &mut Parser<'_>) -> Result<ListPattern> {
    text(p).map(ListPattern)
}

/// ```abnf
/// list-select-base-opt        = "SUBSCRIBED"
/// list-select-independent-opt = "REMOTE" / "SPECIAL-USE"
/// list-select-mod-opt         = "RECURSIVEMATCH"
/// ```
fn select_options(p: &mut Parser<'_>) -> Result<ListSelect> {
    let mut select = ListSelect::default();
    p.list(true, |p| {
        match p.word().as_bytes() {
            b"SUBSCRIBED" => select.subscribed = true,
            b"REMOTE" => select.remote = true,
            b"SPECIAL-USE" => select.special_use = true,
            b"RECURSIVEMATCH" => select.recursive_match = true,
            _ => return p.syntax("unknown LIST selection option"),
        }
        Ok(())
    })?;
    // RFC 5258 §3.1. RFC 6154 has no rule for SPECIAL-USE with RECURSIVEMATCH; CHILDINFO can
    // tell both, so it is let through.
    if select.recursive_match && !(select.subscribed || select.special_use) {
        return p.syntax("RECURSIVEMATCH needs another selection option");
    }
    Ok(select)
}

/// ```abnf
/// list-return-opts = "RETURN" SP "(" [return-option *(SP return-option)] ")"
/// return-option    =  "SUBSCRIBED" / "CHILDREN" / option-extension
/// return-option    =/ "SPECIAL-USE"                               ; RFC 6154 §6
/// return-option    =/ "STATUS" SP "(" status-att *(SP status-att) ")"   ; RFC 5819 §6
/// return-option    =/ "MYRIGHTS"                                  ; RFC 8440
/// return-option    =/ "METADATA" SP "(" entry *(SP entry) ")"     ; RFC 9590 §5
/// ```
fn return_options(p: &mut Parser<'_>) -> Result<ListReturn> {
    let mut returns = ListReturn::default();
    p.list(true, |p| {
        match p.word().as_bytes() {
            b"SUBSCRIBED" => returns.subscribed = true,
            b"CHILDREN" => returns.children = true,
            b"SPECIAL-USE" => returns.special_use = true,
            b"MYRIGHTS" => returns.my_rights = true,
            b"STATUS" => {
                p.space()?;
                returns.status = status_items(p)?;
            }
            b"METADATA" => {
                p.space()?;
                returns.metadata = p.list(false, Parser::astring_owned)?;
            }
            _ => return p.syntax("unknown LIST return option"),
        }
        Ok(())
    })?;
    Ok(returns)
}

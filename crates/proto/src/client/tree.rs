//! A value of any shape: what a lenient decoder falls back to.

use bytes::Bytes;

use super::cursor::{Cursor, DEPTH_MAX, Result};

/// A value as a tree of lists, strings and atoms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Node {
    Nil,
    /// An atom or a number.
    Atom(Bytes),
    String(Bytes),
    List(Vec<Node>),
}

impl Node {
    /// Reads one value. Spaces are optional everywhere.
    pub(super) fn decode(c: &mut Cursor<'_>) -> Result<Node> {
        let mut open: Vec<Vec<Node>> = Vec::new();
        loop {
            c.skip_spaces();
            let node = match c.peek() {
                Some(b'(') => {
                    c.advance(1);
                    if open.len() >= DEPTH_MAX {
                        return c.error("value of bounded depth");
                    }
                    open.push(Vec::new());
                    continue;
                }
                Some(b')') => {
                    let Some(list) = open.pop() else {
                        return c.error("value");
                    };
                    c.advance(1);
                    Node::List(list)
                }
                _ if c.nil() => Node::Nil,
                Some(b'"') => Node::String(c.string()?),
                Some(_) if c.at_literal() => Node::String(c.string()?),
                _ => Node::Atom(Bytes::copy_from_slice(c.token()?)),
            };
            match open.last_mut() {
                Some(list) => list.push(node),
                None => return Ok(node),
            }
        }
    }

    /// The items of a list; none of anything else.
    pub(super) fn items(&self) -> &[Node] {
        match self {
            Node::List(items) => items,
            _ => &[],
        }
    }

    pub(super) fn item(&self, index: usize) -> Option<&Node> {
        self.items().get(index)
    }

    /// The text of a string or atom.
    pub(super) fn string(&self) -> Option<Vec<u8>> {
        match self {
            Node::String(bytes) | Node::Atom(bytes) => Some(bytes.to_vec()),
            Node::Nil | Node::List(_) => None,
        }
    }

    /// The value of a number.
    pub(super) fn number(&self) -> Option<u64> {
        match self {
            Node::Atom(bytes) => std::str::from_utf8(bytes).ok()?.parse().ok(),
            _ => None,
        }
    }
}

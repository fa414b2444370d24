//! APPEND, REPLACE and CATENATE: what stands between the literals that are streamed.

use bytes::Buf as _;

use super::{Event, Found, Framer, Line, State, error};
use crate::decode::append::{self, AppendCommand};
use crate::decode::parser::Parser;
use crate::decode::{DecodeError, DecodeErrorKind};
use crate::types::{AppendData, CatenatePart, LiteralHead};

/// An APPEND that is going on.
#[derive(Debug)]
pub(super) struct Append {
    pub(super) command: AppendCommand,
    pub(super) index: u32,
    /// Within the parentheses of CATENATE.
    pub(super) catenate: bool,
    /// No part of the CATENATE has been seen.
    pub(super) first_part: bool,
    /// The parenthesis of `UTF8 (` is open.
    pub(super) utf8_open: bool,
    /// The rest of a line of which the beginning was consumed.
    pub(super) line: Option<Line>,
}

impl Framer {
    pub(super) fn append_begins(&mut self, line: Line) -> Option<Found> {
        let mut parser = Parser::new(&self.buffer[..line.content], &self.limits.decode);
        let parsed = append::command(&mut parser).and_then(|command| {
            let message = append::message(&mut parser)?;
            Ok((command, message, parser.position()))
        });
        match parsed {
            Ok((command, message, consumed)) => {
                let append = Append {
                    command,
                    index: 0,
                    catenate: false,
                    first_part: false,
                    utf8_open: false,
                    line: None,
                };
                self.append = Some(Box::new(append));
                Some(self.message_begins(message, consumed, line))
            }
            Err(error) => self.inline_or_refuse(error, line),
        }
    }

    /// A parser that ran into a literal needs it as a part of the command.
    fn inline_or_refuse(&mut self, error: DecodeError, line: Line) -> Option<Found> {
        match line.literal {
            Some(spec) if error.kind == DecodeErrorKind::Incomplete => {
                self.inline_literal(spec, line)
            }
            _ => Some(self.refuse_line(error, Some(line))),
        }
    }

    fn message_begins(
        &mut self,
        message: append::MessageHead,
        consumed: usize,
        line: Line,
    ) -> Found {
        let head = match self.append.as_ref() {
            Some(append) => append.command.head(append.index, message),
            // Not reachable: both callers have an append.
            None => {
                let error = error(DecodeErrorKind::Syntax, "no command", consumed);
                return self.refuse_line(error, Some(line));
            }
        };
        match head.data {
            AppendData::Literal(literal) => {
                if let Some(event) = self.literal_begins(literal, line) {
                    return event;
                }
            }
            AppendData::Catenate => {
                if let Some(append) = self.append.as_mut() {
                    (append.catenate, append.first_part) = (true, true);
                }
                self.consume(consumed, line);
                self.state = State::Decide(None);
            }
        }
        Found::Event(Event::Message(head))
    }

    /// Stops before a literal that is streamed. Gives an event only if it is refused.
    fn literal_begins(&mut self, literal: LiteralHead, line: Line) -> Option<Found> {
        let size = Some(literal.size);
        if let Some(error) = self.literal_minus_error(size, literal.synchronizing, line.content) {
            return Some(self.refuse_line(error, Some(line)));
        }
        if let Some(append) = self.append.as_mut() {
            append.utf8_open = literal.utf8;
        }
        self.buffer.advance(line.next);
        self.reset_line();
        self.state = State::Decide(Some(literal));
        None
    }

    /// Drops the first `consumed` bytes of `line` and remembers the rest.
    fn consume(&mut self, consumed: usize, line: Line) {
        self.buffer.advance(consumed);
        self.reset_line();
        let (content, next) = (line.content - consumed, line.next - consumed);
        if let Some(append) = self.append.as_mut() {
            append.line = Some(Line {
                content,
                next,
                literal: line.literal,
            });
        }
    }

    /// What follows a literal of an APPEND, or a part of a CATENATE.
    pub(super) fn append_line(&mut self, line: Line) -> Option<Found> {
        let Some(append) = self.append.as_mut() else {
            self.state = State::Command;
            return None;
        };
        let mut parser = Parser::new(&self.buffer[..line.content], &self.limits.decode);
        match append.rest(&mut parser, line.literal.is_some()) {
            Ok(Rest::End) => {
                self.buffer.advance(line.next);
                self.reset_line();
                self.append = None;
                self.state = State::Command;
                Some(Found::Event(Event::AppendEnd))
            }
            Ok(Rest::CatenateEnd(consumed)) => {
                (append.catenate, append.utf8_open) = (false, false);
                self.consume(consumed, line);
                Some(Found::Event(Event::CatenateEnd))
            }
            Ok(Rest::Part(part, consumed)) => {
                (append.first_part, append.utf8_open) = (false, false);
                match part {
                    CatenatePart::Url(_) => self.consume(consumed, line),
                    CatenatePart::Text(literal) => {
                        if let Some(event) = self.literal_begins(literal, line) {
                            return Some(event);
                        }
                    }
                }
                Some(Found::Event(Event::Catenate(part)))
            }
            Ok(Rest::Message(message, consumed)) => {
                append.index = append.index.saturating_add(1);
                append.utf8_open = false;
                Some(self.message_begins(message, consumed, line))
            }
            Err(error) => self.inline_or_refuse(error, line),
        }
    }
}

/// What stands between the literals of an APPEND, and how many bytes that is.
enum Rest {
    End,
    CatenateEnd(usize),
    Part(CatenatePart, usize),
    Message(append::MessageHead, usize),
}

impl Append {
    fn rest(&self, p: &mut Parser<'_>, has_literal: bool) -> Result<Rest, DecodeError> {
        if self.utf8_open {
            p.close()?;
        }
        if self.catenate {
            if !self.first_part && p.eat(b')') {
                return Ok(Rest::CatenateEnd(p.position()));
            }
            if !self.first_part {
                p.space()?;
            }
            let part = append::catenate_part(p)?;
            return Ok(Rest::Part(part, p.position()));
        }
        if !has_literal && p.only_spaces_left() {
            return Ok(Rest::End);
        }
        if self.command.replace.is_some() {
            return p.syntax("REPLACE takes one message");
        }
        let message = append::message(p)?;
        Ok(Rest::Message(message, p.position()))
    }
}

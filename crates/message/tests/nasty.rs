//! Messages that trip parsers, with answers worked out by hand from RFC 2045, 2046 and 9051.

mod grammar;

use restante_message::{SectionText, Strings, parse};

struct Case {
    name: &'static str,
    message: &'static str,
    /// BODY of the message.
    body: &'static str,
    /// Sections and their text; `None`: there is no such section.
    sections: &'static [(&'static str, Option<&'static str>)],
}

const TEXT: &str = "\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\"";

/// `@n l@` stands for a default text part of n octets and l lines.
fn expand(body: &str) -> String {
    let mut out = String::new();
    for (index, piece) in body.split('@').enumerate() {
        match index % 2 {
            0 => out.push_str(piece),
            _ => out.push_str(&format!("({TEXT} {piece})")),
        }
    }
    out
}

fn section(message: &str, name: &str) -> Option<String> {
    let parsed = parse(message.as_bytes());
    let (path, text) = match name.rsplit_once('.') {
        _ if name == "TEXT" => ("", SectionText::Text),
        _ if name == "HEADER" => ("", SectionText::Header),
        Some((path, "TEXT")) => (path, SectionText::Text),
        Some((path, "HEADER")) => (path, SectionText::Header),
        Some((path, "MIME")) => (path, SectionText::Mime),
        _ => (name, SectionText::Whole),
    };
    let path: Vec<u32> = path
        .split('.')
        .filter(|word| !word.is_empty())
        .map(|word| word.parse().unwrap_or(0))
        .collect();
    let range = parsed.structure().section(&path, text)?;
    Some(message[range.start as usize..range.end as usize].to_owned())
}

const CASES: &[Case] = &[
    Case {
        name: "empty message",
        message: "",
        body: "@0 0@",
        sections: &[
            ("", Some("")),
            ("1", Some("")),
            ("HEADER", Some("")),
            ("2", None),
        ],
    },
    Case {
        name: "header only, no blank line",
        message: "Subject: a\r\nTo: b\r\n",
        body: "@0 0@",
        sections: &[
            ("HEADER", Some("Subject: a\r\nTo: b\r\n")),
            ("TEXT", Some("")),
        ],
    },
    Case {
        name: "body only",
        message: "\r\nbody\r\n",
        body: "@6 1@",
        sections: &[
            ("HEADER", Some("\r\n")),
            ("TEXT", Some("body\r\n")),
            ("1", Some("body\r\n")),
        ],
    },
    Case {
        name: "the last line does not end",
        message: "Subject: a\r\n\r\none\r\ntwo",
        body: "@8 1@",
        sections: &[("1", Some("one\r\ntwo"))],
    },
    Case {
        name: "bare LF",
        message: "Content-Type: multipart/mixed; boundary=b\n\n--b\n\none\n--b\n\ntwo\n--b--\n",
        body: "(@3 0@@3 0@ \"mixed\")",
        sections: &[("1", Some("one")), ("2", Some("two")), ("3", None)],
    },
    Case {
        name: "CRLF header, LF body, and the reverse",
        message: "Content-Type: multipart/mixed; boundary=b\r\n\n--b\r\n\nalpha\r\n--b\n\r\nbeta\n--b--",
        body: "(@5 0@@4 0@ \"mixed\")",
        sections: &[("1", Some("alpha")), ("2", Some("beta"))],
    },
    Case {
        name: "a line that merely begins with the boundary",
        message: "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n\
                  --bc\r\n--b-\r\n--b--x\r\n --b\r\n--B\r\n--b--\r\n",
        body: "(@29 4@ \"mixed\")",
        sections: &[("1", Some("--bc\r\n--b-\r\n--b--x\r\n --b\r\n--B"))],
    },
    Case {
        name: "one boundary is the beginning of another",
        message: "Content-Type: multipart/mixed; boundary=b\r\n\r\n\
                  --b\r\nContent-Type: multipart/mixed; boundary=bb\r\n\r\n\
                  --bb\r\n\r\ninner\r\n--bb--\r\n--b\r\n\r\nouter\r\n--b--\r\n",
        body: "((@5 0@ \"mixed\")@5 0@ \"mixed\")",
        sections: &[("1.1", Some("inner")), ("2", Some("outer")), ("1.2", None)],
    },
    Case {
        name: "an outer delimiter ends inner parts that do not end",
        message: "Content-Type: multipart/mixed; boundary=o\r\n\r\n\
                  --o\r\nContent-Type: multipart/alternative; boundary=i\r\n\r\n\
                  --i\r\n\r\nshort\r\n\
                  --o\r\n\r\nsecond\r\n--o--\r\n",
        body: "((@5 0@ \"alternative\")@6 0@ \"mixed\")",
        sections: &[
            ("1", Some("--i\r\n\r\nshort")),
            ("1.1", Some("short")),
            ("2", Some("second")),
        ],
    },
    Case {
        name: "no close delimiter",
        message: "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n",
        body: "(@5 1@ \"mixed\")",
        sections: &[("1", Some("one\r\n"))],
    },
    Case {
        name: "preamble and epilogue, also with delimiters in it",
        message: "Content-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n\
                  --b\r\n\r\none\r\n--b--\r\nepilogue\r\n--b\r\n\r\nnot a part\r\n",
        body: "(@3 0@ \"mixed\")",
        sections: &[("1", Some("one")), ("2", None)],
    },
    Case {
        name: "a part header runs into the next delimiter",
        message: "Content-Type: multipart/mixed; boundary=b\r\n\r\n\
                  --b\r\nContent-Type: text/html\r\n--b\r\n\r\ntwo\r\n--b--\r\n",
        body: "((\"text\" \"html\" (\"charset\" \"us-ascii\") NIL NIL \"7bit\" 0 0)@3 0@ \"mixed\")",
        sections: &[
            ("1.MIME", Some("Content-Type: text/html\r\n")),
            ("1", Some("")),
            ("2", Some("two")),
        ],
    },
    Case {
        name: "a delimiter directly after a header",
        message: "Content-Type: multipart/mixed; boundary=o\r\n\r\n\
                  --o\r\nContent-Type: multipart/mixed; boundary=i\r\n\r\n--i\r\n\r\n--o--\r\n",
        body: "((@0 0@ \"mixed\") \"mixed\")",
        sections: &[
            ("1", Some("--i\r\n\r\n")),
            ("1.1", Some("")),
            ("1.1.MIME", Some("\r\n")),
        ],
    },
    Case {
        name: "the message header runs into the first delimiter",
        message: "Content-Type: multipart/mixed; boundary=b\r\n--b\r\n\r\none\r\n--b--\r\n",
        // Nothing is a delimiter before the header has ended.
        body: "(@0 0@ \"mixed\")",
        sections: &[
            (
                "HEADER",
                Some("Content-Type: multipart/mixed; boundary=b\r\n--b\r\n\r\n"),
            ),
            ("TEXT", Some("one\r\n--b--\r\n")),
            ("1", Some("")),
        ],
    },
    Case {
        name: "multipart without a part",
        message: "Content-Type: multipart/mixed; boundary=b\r\n\r\nnothing here\r\n",
        body: "(@0 0@ \"mixed\")",
        sections: &[
            ("1", Some("")),
            ("2", None),
            ("TEXT", Some("nothing here\r\n")),
        ],
    },
    Case {
        name: "multipart with a close delimiter only",
        message: "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b--\r\n",
        body: "(@0 0@ \"mixed\")",
        sections: &[("1", Some(""))],
    },
    Case {
        name: "multipart without boundary is no multipart",
        message: "Content-Type: multipart/mixed\r\n\r\n--\r\ntext\r\n",
        body: "@10 2@",
        sections: &[("1", Some("--\r\ntext\r\n"))],
    },
    Case {
        name: "empty boundary",
        message: "Content-Type: multipart/mixed; boundary=\"\"\r\n\r\n--\r\ntext\r\n",
        body: "@10 2@",
        sections: &[("1", Some("--\r\ntext\r\n"))],
    },
    Case {
        name: "white space after boundary and delimiters",
        message: "Content-Type: multipart/mixed; boundary=\"b  \"\r\n\r\n\
                  --b \t\r\n\r\none\r\n--b-- \r\nepilogue",
        body: "(@3 0@ \"mixed\")",
        sections: &[("1", Some("one"))],
    },
    Case {
        name: "boundary with specials, comments in the field, odd case",
        message: "CONTENT-type : (a) Multipart (b) / (c;) Mixed (d) ; (e) Boundary = \"=_;b'()\" (f)\r\n\r\n\
                  --=_;b'()\r\n\r\none\r\n--=_;b'()--\r\n",
        body: "(@3 0@ \"Mixed\")",
        sections: &[("1", Some("one"))],
    },
    Case {
        name: "boundary in pieces (RFC 2231)",
        message: "Content-Type: multipart/mixed; boundary*0=a; boundary*1=b\r\n\r\n--ab\r\n\r\none\r\n--ab--",
        body: "(@3 0@ \"mixed\")",
        sections: &[("1", Some("one"))],
    },
    Case {
        name: "of two Content-Type fields the first counts",
        message: "Content-Type: text/html; charset=x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n\
                  --b\r\n\r\none\r\n--b--\r\n",
        body: "(\"text\" \"html\" (\"charset\" \"x\") NIL NIL \"7bit\" 19 4)",
        sections: &[("1", Some("--b\r\n\r\none\r\n--b--\r\n")), ("2", None)],
    },
    Case {
        name: "a type that is not valid",
        message: "Content-Type: text\r\nContent-Transfer-Encoding: base64 (c)\r\n\r\nQQ==\r\n",
        body: "(\"text\" \"plain\" (\"charset\" \"us-ascii\") NIL NIL \"base64\" 6 1)",
        sections: &[("1", Some("QQ==\r\n"))],
    },
    Case {
        name: "a type that is quoted as one word",
        message: "Content-Type: \"application/pdf\"; name=\"a\"\r\n\r\nx\r\n",
        body: "(\"application\" \"pdf\" (\"name\" \"a\") NIL NIL \"7bit\" 3)",
        sections: &[("1", Some("x\r\n"))],
    },
    Case {
        name: "digest",
        message: "Content-Type: multipart/digest; boundary=b\r\n\r\n\
                  --b\r\n\r\nSubject: one\r\n\r\ntext\r\n\
                  --b\r\nContent-Type: text/plain\r\n\r\ntwo\r\n--b--\r\n",
        body: "((\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 20 \
               (NIL \"one\" NIL NIL NIL NIL NIL NIL NIL NIL) @4 0@ 2)@3 0@ \"digest\")",
        sections: &[
            ("1", Some("Subject: one\r\n\r\ntext")),
            ("1.HEADER", Some("Subject: one\r\n\r\n")),
            ("1.TEXT", Some("text")),
            ("1.1", Some("text")),
            ("1.1.MIME", Some("Subject: one\r\n\r\n")),
            ("2", Some("two")),
            ("2.HEADER", None),
        ],
    },
    Case {
        name: "a message in a message in a message",
        message: "Content-Type: message/rfc822\r\n\r\n\
                  Content-Type: message/rfc822\r\n\r\nSubject: in\r\n\r\ndeep\r\n",
        body: "(\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 53 \
               (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) \
               (\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 21 \
               (NIL \"in\" NIL NIL NIL NIL NIL NIL NIL NIL) @6 1@ 3) 5)",
        sections: &[
            ("1.HEADER", Some("Content-Type: message/rfc822\r\n\r\n")),
            ("1.1", Some("Subject: in\r\n\r\ndeep\r\n")),
            ("1.1.HEADER", Some("Subject: in\r\n\r\n")),
            ("1.1.1", Some("deep\r\n")),
            ("1.1.1.1", None),
        ],
    },
    Case {
        name: "message/rfc822 in base64 is opaque",
        message: "Content-Type: message/rfc822; name=a.eml\r\nContent-Transfer-Encoding: base64\r\n\r\n\
                  U3ViamVjdDogYQ==\r\n",
        body: "(\"application\" \"octet-stream\" (\"name\" \"a.eml\") NIL NIL \"base64\" 18)",
        sections: &[
            ("1", Some("U3ViamVjdDogYQ==\r\n")),
            ("1.1", None),
            ("1.HEADER", None),
        ],
    },
    Case {
        name: "an embedded message without anything",
        message: "Content-Type: multipart/mixed; boundary=b\r\n\r\n\
                  --b\r\nContent-Type: message/rfc822\r\n--b--\r\n",
        body: "((\"message\" \"rfc822\" NIL NIL NIL \"7bit\" 0 \
               (NIL NIL NIL NIL NIL NIL NIL NIL NIL NIL) @0 0@ 0) \"mixed\")",
        sections: &[("1", Some("")), ("1.HEADER", Some("")), ("1.1", Some(""))],
    },
    Case {
        name: "lines that are no fields in the header",
        message: "From x@y Mon Jan  1 00:00:00 2024\r\nno colon\r\nSubject: s\r\n\tfolded\r\n : c\r\n\r\nt",
        body: "@1 0@",
        sections: &[("1", Some("t"))],
    },
    Case {
        name: "NUL and control characters",
        message: "Content-Type: text/plain; a=\"x\0y\u{7f}\"\r\nContent-ID: \0\r\n\r\na\0b\r\n",
        body: "(\"text\" \"plain\" (\"charset\" \"us-ascii\" \"a\" {4}\r\nx?y\u{7f}) {1}\r\n? NIL \"7bit\" 5 1)",
        sections: &[("1", Some("a\0b\r\n"))],
    },
    Case {
        name: "eight bits",
        message: "Content-Type: text/plain; name=\"ü\"; charset=utf-8\r\nContent-Description: ä\\\"\r\n\
                  Content-Transfer-Encoding: 8BIT\r\n\r\nö\n",
        body: "(\"text\" \"plain\" (\"name\" {2}\r\nü \"charset\" \"utf-8\") NIL {4}\r\nä\\\" \"8BIT\" 3 1)",
        sections: &[("1", Some("ö\n"))],
    },
    Case {
        name: "a type of one's own, parameters without order",
        message: "Content-Type: x-a/x-b ;; =c; d; e=; f=\"g\r\n\r\nh",
        body: "(\"x-a\" \"x-b\" (\"e\" \"\" \"f\" \"g\") NIL NIL \"7bit\" 1)",
        sections: &[("1", Some("h"))],
    },
];

#[test]
fn answers_are_those_worked_out_by_hand() {
    for case in CASES {
        let message = parse(case.message.as_bytes());
        let mut out = Vec::new();
        message.body(Strings::Literal, &mut out);
        assert_eq!(
            String::from_utf8_lossy(&out),
            expand(case.body),
            "BODY: {}",
            case.name
        );
        assert_eq!(grammar::body(&out, false, false), Ok(()), "{}", case.name);
        for (name, expected) in case.sections {
            let found = section(case.message, name);
            assert_eq!(found.as_deref(), *expected, "section {name}: {}", case.name);
        }
    }
}

#[test]
fn all_extension_fields_are_given() {
    let message = "Content-Type: multipart/mixed; boundary=b; x=y\r\n\
        Content-Language: de (German), en\r\nContent-Location: http://a/\r\n b\r\n\r\n\
        --b\r\nContent-Type: IMAGE/png; name*0*=utf-8''a%20; name*1=b\r\n\
        Content-Disposition: Attachment; filename=\"a b.png\"; size=3\r\n\
        Content-ID: <1@x>\r\nContent-Description: a\r\n picture\r\n\
        Content-MD5: Q2hlY2sgSW50ZWdyaXR5IQ==\r\nContent-Transfer-Encoding: BASE64\r\n\r\nQUJD\r\n--b--\r\n";
    let mut out = Vec::new();
    parse(message.as_bytes()).bodystructure(Strings::Literal, &mut out);
    assert_eq!(
        String::from_utf8_lossy(&out),
        "((\"IMAGE\" \"png\" (\"name*\" \"utf-8''a%20b\") \"<1@x>\" \"a picture\" \
         \"BASE64\" 4 \"Q2hlY2sgSW50ZWdyaXR5IQ==\" \
         (\"Attachment\" (\"filename\" \"a b.png\" \"size\" \"3\")) NIL NIL) \
         \"mixed\" (\"boundary\" \"b\" \"x\" \"y\") NIL (\"de\" \"en\") \"http://a/ b\")"
    );
}

/// Address lists and the addresses ENVELOPE has for them.
const ADDRESSES: &[(&str, &str)] = &[
    ("a@b", "((NIL NIL \"a\" \"b\"))"),
    ("<a@b>", "((NIL NIL \"a\" \"b\"))"),
    ("A B <a@b>", "((\"A B\" NIL \"a\" \"b\"))"),
    ("\"B, A\" <a@b>", "((\"B, A\" NIL \"a\" \"b\"))"),
    (
        "\"A \\\"x\\\\\" <a@b>",
        "((\"A \\\"x\\\\\" NIL \"a\" \"b\"))",
    ),
    ("a@b (A (the) B)", "((\"A (the) B\" NIL \"a\" \"b\"))"),
    ("<a@b> (A)", "((\"A\" NIL \"a\" \"b\"))"),
    ("N (c) <a(x)@(y)b>", "((\"N\" NIL \"a\" \"b\"))"),
    ("<a (x)@ (y) b>", "((NIL NIL \"a\" \"b\"))"),
    ("<a(x)@b> (N)", "((\"N\" NIL \"a\" \"b\"))"),
    ("\"a b\"@c", "((NIL NIL \"a b\" \"c\"))"),
    ("\"a.b\".c@d", "((NIL NIL \"a.b.c\" \"d\"))"),
    // RFC 5322 A.6.3 and §4.4
    (
        "john . smith @ ex . org",
        "((NIL NIL \"john.smith\" \"ex.org\"))",
    ),
    (
        "Joe Q. Public <john.q.public@example.com>",
        "((\"Joe Q. Public\" NIL \"john.q.public\" \"example.com\"))",
    ),
    ("<@a,@b:c@d>", "((NIL \"@a,@b\" \"c\" \"d\"))"),
    ("<@a @b , @c:d@e>", "((NIL \"@a,@b,@c\" \"d\" \"e\"))"),
    (
        "Mary <@machine.tld:mary@example.net>, , jdoe@test . example",
        "((\"Mary\" \"@machine.tld\" \"mary\" \"example.net\")(NIL NIL \"jdoe\" \"test.example\"))",
    ),
    ("a@[1.2.3.4]", "((NIL NIL \"a\" \"[1.2.3.4]\"))"),
    // Groups, RFC 5322 A.1.3
    (
        "A Group:Ed Jones <c@a.test>,joe@where.test;",
        "((NIL NIL \"A Group\" NIL)(\"Ed Jones\" NIL \"c\" \"a.test\")(NIL NIL \"joe\" \"where.test\")(NIL NIL NIL NIL))",
    ),
    (
        "Undisclosed recipients:;",
        "((NIL NIL \"Undisclosed recipients\" NIL)(NIL NIL NIL NIL))",
    ),
    (
        "g: a@b",
        "((NIL NIL \"g\" NIL)(NIL NIL \"a\" \"b\")(NIL NIL NIL NIL))",
    ),
    (
        "g: h: a@b; c@d",
        "((NIL NIL \"g\" NIL)(\"h:\" NIL \"a\" \"b\")(NIL NIL NIL NIL)(NIL NIL \"c\" \"d\"))",
    ),
    (":;", "((NIL NIL \"\" NIL)(NIL NIL NIL NIL))"),
    // What should not be.
    ("", "NIL"),
    (" , ,;", "NIL"),
    ("(only a comment)", "NIL"),
    ("root", "((NIL NIL \"root\" \"\"))"),
    ("John Doe", "((\"John Doe\" NIL \"\" \"\"))"),
    ("John Doe a@b", "((\"John Doe\" NIL \"a\" \"b\"))"),
    ("a@b John Doe", "((\"John Doe\" NIL \"a\" \"b\"))"),
    ("a@b; c@d", "((NIL NIL \"a\" \"b\")(NIL NIL \"c\" \"d\"))"),
    (
        "A <a@b> B <c@d>",
        "((\"A\" NIL \"a\" \"b\")(\"B\" NIL \"c\" \"d\"))",
    ),
    (
        "A <a@b, C <c@d>",
        "((\"A\" NIL \"a\" \"b\")(\"C\" NIL \"c\" \"d\"))",
    ),
    ("a@b <c@d>", "((\"a@b\" NIL \"c\" \"d\"))"),
    ("a@b@c", "((NIL NIL \"a@b\" \"c\"))"),
    ("<>", "((NIL NIL \"\" \"\"))"),
    ("<@host>", "((NIL NIL \"\" \"host\"))"),
    ("@", "((NIL NIL \"\" \"\"))"),
    (
        "\"unterminated <a@b>, c@d",
        "((\"unterminated\" NIL \"a\" \"b\")(NIL NIL \"c\" \"d\"))",
    ),
    ("A\"B <a@b>", "((\"A B\" NIL \"a\" \"b\"))"),
    ("[x <a@b>", "((\"[x\" NIL \"a\" \"b\"))"),
    (
        "a@b c@d x y@z",
        "((NIL NIL \"a\" \"b\")(NIL NIL \"c\" \"d\")(\"x\" NIL \"y\" \"z\"))",
    ),
    (
        "A <a@b>\r\n c@d",
        "((\"A\" NIL \"a\" \"b\")(NIL NIL \"c\" \"d\"))",
    ),
    (
        "A <a@b\r\n C <c@d>, E <e@f<g@h>",
        "((\"A\" NIL \"a\" \"b\")(\"C\" NIL \"c\" \"d\")(\"E\" NIL \"e\" \"f\")(NIL NIL \"g\" \"h\"))",
    ),
    ("a@b (unterminated", "((\"unterminated\" NIL \"a\" \"b\"))"),
    (
        "=?utf-8?Q?J=C3=B6rg?= <j@x>",
        "((\"=?utf-8?Q?J=C3=B6rg?=\" NIL \"j\" \"x\"))",
    ),
    ("Jörg <j@x>", "(({5}\r\nJörg NIL \"j\" \"x\"))"),
    (
        "a\r\n b <c@d>,\r\n\te@f",
        "((\"a b\" NIL \"c\" \"d\")(NIL NIL \"e\" \"f\"))",
    ),
    ("\0 <a@b>", "(({1}\r\n? NIL \"a\" \"b\"))"),
];

#[test]
fn address_lists() {
    for (list, expected) in ADDRESSES {
        let mut out = Vec::new();
        parse(format!("To: {list}\r\n\r\n").as_bytes()).envelope(Strings::Literal, &mut out);
        let expected = format!("(NIL NIL NIL NIL NIL {expected} NIL NIL NIL NIL)");
        assert_eq!(String::from_utf8_lossy(&out), expected, "{list}");
        assert_eq!(grammar::envelope(&out, false), Ok(()), "{list}");
    }
}

#[test]
fn envelope_fields() {
    let cases = [
        // Absent is NIL, empty is the empty string; Sender and Reply-To default to From.
        (
            "Subject:\r\nFrom: a@b\r\nSender: \r\nDate:  \r\n\r\n",
            "(\"\" \"\" ((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) ((NIL NIL \"a\" \"b\")) NIL NIL NIL NIL NIL)",
        ),
        // The first of one name counts; recipients are read on.
        (
            "Subject: 1\r\nSubject: 2\r\nTo: a@b\r\nTo: c@d\r\nFrom: e@f\r\nFrom: g@h\r\nReply-To: i@j\r\n\r\n",
            "(NIL \"1\" ((NIL NIL \"e\" \"f\")) ((NIL NIL \"e\" \"f\")) ((NIL NIL \"i\" \"j\")) \
          ((NIL NIL \"a\" \"b\")(NIL NIL \"c\" \"d\")) NIL NIL NIL NIL)",
        ),
        // A CR that ends no line divides words.
        (
            "Subject: a\rb\r\r\n c\r\n\r\n",
            "(NIL \"a b c\" NIL NIL NIL NIL NIL NIL NIL NIL)",
        ),
        // Folded, with white space before the colon.
        (
            "Subject \t:  a\r\n b\r\n\tc  \r\nIn-Reply-To: <a>\r\n <b>\r\nMessage-ID: <c@d>\r\n\r\n",
            "(NIL \"a b\tc\" NIL NIL NIL NIL NIL NIL \"<a> <b>\" \"<c@d>\")",
        ),
    ];
    for (message, expected) in cases {
        let mut out = Vec::new();
        parse(message.as_bytes()).envelope(Strings::Literal, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected, "{message}");
    }
}

#[test]
fn utf8_is_quoted_for_those_who_enabled_it() {
    let mut out = Vec::new();
    parse("Subject: ü\r\n\r\n".as_bytes()).envelope(Strings::Utf8Quoted, &mut out);
    assert_eq!(
        String::from_utf8_lossy(&out),
        "(NIL \"ü\" NIL NIL NIL NIL NIL NIL NIL NIL)"
    );
    out.clear();
    parse(b"Subject: \xfc\r\n\r\n").envelope(Strings::Utf8Quoted, &mut out);
    assert_eq!(out, b"(NIL {1}\r\n\xfc NIL NIL NIL NIL NIL NIL NIL NIL)");
}

#[test]
fn header_subsets_keep_the_raw_lines() {
    let header = b"Subject: a\r\n b\r\nX: 1\r\nno field\r\nsubject: c\nTo: d\r\n\r\n";
    let subset = |names: &[&[u8]], not| {
        let mut out = Vec::new();
        restante_message::header_fields(header, names, not, &mut out);
        String::from_utf8_lossy(&out).into_owned()
    };
    assert_eq!(
        subset(&[b"SUBJECT"], false),
        "Subject: a\r\n b\r\nsubject: c\n\r\n"
    );
    assert_eq!(subset(&[b"SUBJECT"], true), "X: 1\r\nTo: d\r\n\r\n");
    assert_eq!(subset(&[b"From"], false), "\r\n");
    let mut out = Vec::new();
    restante_message::header_fields(b"A: b\r\n", &[b"a"], false, &mut out);
    assert_eq!(out, b"A: b\r\n", "no blank line where the message has none");
}

//! Reads the table of HTTP/1 messages, `tests/corpus/h1.txt`; its format is told there.

/// Who asked for an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asker {
    /// A plain GET.
    Get,
    /// A HEAD.
    Head,
    /// A GET of HTTP/1.0.
    Old,
    /// An upgrade to websocket.
    WebSocket,
}

/// What comes to pass behind the bytes that are forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A body turned out broken: both connections are broken off.
    Break(u16),
    /// Nothing: every message was whole.
    Clean,
    /// The sender ended within a message.
    Cut,
    /// A message was refused with this status.
    Refuse(u16),
    /// All is well, but the server's connection is not used again.
    Surplus,
}

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name.
    pub name: String,
    /// For an answer: the question.
    pub asker: Option<Asker>,
    /// What is sent.
    pub bytes: Vec<u8>,
    /// What whole messages go on.
    pub forwarded: Vec<u8>,
    /// What then happens.
    pub end: End,
}

/// All cases of the table. A line that cannot be read is an error with its number.
pub fn read(table: &str) -> Result<Vec<Case>, String> {
    let lines = table.lines().enumerate();
    lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(at, line)| case(line).ok_or_else(|| format!("line {}: {line}", at + 1)))
        .collect()
}

fn case(line: &str) -> Option<Case> {
    let mut parts = line.splitn(3, " | ");
    let (name, bytes, verdict) = (parts.next()?, parts.next()?, parts.next()?);
    let (asker, bytes) = if name.starts_with("r-") {
        let (asker, bytes) = bytes.split_once(' ')?;
        (Some(asker_of(asker)?), bytes)
    } else {
        (None, bytes)
    };
    let bytes = unescape(bytes)?;
    let (forwarded, end) = verdict_of(verdict, &bytes)?;
    Some(Case { name: name.to_owned(), asker, bytes, forwarded, end })
}

fn asker_of(word: &str) -> Option<Asker> {
    match word {
        "GET" => Some(Asker::Get),
        "HEAD" => Some(Asker::Head),
        "OLD" => Some(Asker::Old),
        "WS" => Some(Asker::WebSocket),
        _ => None,
    }
}

fn verdict_of(verdict: &str, bytes: &[u8]) -> Option<(Vec<u8>, End)> {
    if verdict == "same" {
        return Some((bytes.to_vec(), End::Clean));
    }
    let Some(forwarded) = verdict.strip_prefix("= ") else {
        return Some((Vec::new(), end_of(verdict)?));
    };
    match forwarded.rsplit_once(" then ") {
        None => Some((unescape(forwarded)?, End::Clean)),
        Some((forwarded, end)) => Some((unescape(forwarded)?, end_of(end)?)),
    }
}

fn end_of(words: &str) -> Option<End> {
    match words {
        "cut" => Some(End::Cut),
        "surplus" => Some(End::Surplus),
        _ => match words.strip_prefix("break ") {
            Some(status) => Some(End::Break(status.parse().ok()?)),
            None => Some(End::Refuse(words.parse().ok()?)),
        },
    }
}

/// The bytes that the notation stands for.
pub fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        rest = rest.get(next.len_utf8()..)?;
        match next {
            '¶' => bytes.extend_from_slice(b"\r\n"),
            '\\' => rest = escape(rest, &mut bytes)?,
            _ => bytes.extend_from_slice(next.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    Some(bytes)
}

/// Takes what stands behind a backslash.
fn escape<'a>(rest: &'a str, bytes: &mut Vec<u8>) -> Option<&'a str> {
    let (sign, after) = rest.split_at_checked(1)?;
    match sign {
        "r" => bytes.push(b'\r'),
        "n" => bytes.push(b'\n'),
        "t" => bytes.push(b'\t'),
        "\\" => bytes.push(b'\\'),
        "x" => {
            let (digits, after) = after.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            return Some(after);
        }
        "(" => {
            let (inner, after) = after.split_once(')')?;
            let (count, text) = inner.split_once('*')?;
            bytes.extend(unescape(text)?.repeat(count.parse().ok()?));
            return Some(after);
        }
        _ => return None,
    }
    Some(after)
}

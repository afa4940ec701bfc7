//! As much JSON as the protocol needs: objects, strings, whole numbers, true, false, null.

use std::fmt;

#[derive(Clone, Debug, PartialEq)]
pub enum Json {
    Null,
    Bool(bool),
    Number(i64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    pub fn text(value: &str) -> Json {
        Json::Text(value.to_string())
    }

    pub fn object(members: Vec<(&str, Json)>) -> Json {
        Json::Object(members.into_iter().map(|(name, value)| (name.to_string(), value)).collect())
    }

    pub fn get(&self, name: &str) -> Option<&Json> {
        match self {
            Json::Object(members) => members.iter().find(|(key, _)| key == name).map(|(_, value)| value),
            _ => None,
        }
    }

    pub fn number(&self) -> Option<i64> {
        match self {
            Json::Number(value) => Some(*value),
            _ => None,
        }
    }

    pub fn as_text(&self) -> Option<String> {
        match self {
            Json::Text(value) => Some(value.clone()),
            _ => None,
        }
    }
}

impl fmt::Display for Json {
    fn fmt(&self, out: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Json::Null => write!(out, "null"),
            Json::Bool(value) => write!(out, "{value}"),
            Json::Number(value) => write!(out, "{value}"),
            Json::Text(value) => write_text(out, value),
            Json::List(values) => {
                write!(out, "[")?;
                for (i, value) in values.iter().enumerate() {
                    write!(out, "{}{value}", if i > 0 { "," } else { "" })?;
                }
                write!(out, "]")
            }
            Json::Object(members) => {
                write!(out, "{{")?;
                for (i, (name, value)) in members.iter().enumerate() {
                    write!(out, "{}", if i > 0 { "," } else { "" })?;
                    write_text(out, name)?;
                    write!(out, ":{value}")?;
                }
                write!(out, "}}")
            }
        }
    }
}

fn write_text(out: &mut fmt::Formatter, text: &str) -> fmt::Result {
    write!(out, "\"")?;
    for character in text.chars() {
        match character {
            '"' | '\\' => write!(out, "\\{character}")?,
            control if control < ' ' => write!(out, "\\u{:04x}", control as u32)?,
            other => write!(out, "{other}")?,
        }
    }
    write!(out, "\"")
}

/// The value of a line; None when it is not JSON.
pub fn parse(line: &str) -> Option<Json> {
    let mut parser = Parser { characters: line.trim().chars().collect(), place: 0 };
    let value = parser.value()?;
    (parser.place == parser.characters.len()).then_some(value)
}

struct Parser {
    characters: Vec<char>,
    place: usize,
}

impl Parser {
    fn peek(&mut self) -> Option<char> {
        while self.characters.get(self.place).is_some_and(|each| each.is_whitespace()) {
            self.place += 1;
        }
        self.characters.get(self.place).copied()
    }

    fn take(&mut self, expected: char) -> Option<()> {
        (self.peek()? == expected).then(|| self.place += 1)
    }

    fn word(&mut self, word: &str, value: Json) -> Option<Json> {
        let end = self.place + word.len();
        let found: String = self.characters.get(self.place..end)?.iter().collect();
        self.place = end;
        (found == word).then_some(value)
    }

    fn value(&mut self) -> Option<Json> {
        match self.peek()? {
            'n' => self.word("null", Json::Null),
            't' => self.word("true", Json::Bool(true)),
            'f' => self.word("false", Json::Bool(false)),
            '"' => self.text().map(Json::Text),
            '[' => self.list(),
            '{' => self.object(),
            _ => self.number(),
        }
    }

    fn number(&mut self) -> Option<Json> {
        let begin = self.place;
        while self.characters.get(self.place).is_some_and(|each| each.is_ascii_digit() || *each == '-') {
            self.place += 1;
        }
        let digits: String = self.characters[begin..self.place].iter().collect();
        digits.parse().ok().map(Json::Number)
    }

    fn text(&mut self) -> Option<String> {
        self.take('"')?;
        let mut text = String::new();
        loop {
            let character = *self.characters.get(self.place)?;
            self.place += 1;
            match character {
                '"' => return Some(text),
                '\\' => text.push(self.escape()?),
                other => text.push(other),
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        let character = *self.characters.get(self.place)?;
        self.place += 1;
        Some(match character {
            'n' => '\n',
            't' => '\t',
            'r' => '\r',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => {
                let digits: String = self.characters.get(self.place..self.place + 4)?.iter().collect();
                self.place += 4;
                char::from_u32(u32::from_str_radix(&digits, 16).ok()?)?
            }
            other => other,
        })
    }

    fn list(&mut self) -> Option<Json> {
        self.take('[')?;
        let mut values = Vec::new();
        while self.peek()? != ']' {
            if !values.is_empty() {
                self.take(',')?;
            }
            values.push(self.value()?);
        }
        self.take(']')?;
        Some(Json::List(values))
    }

    fn object(&mut self) -> Option<Json> {
        self.take('{')?;
        let mut members = Vec::new();
        while self.peek()? != '}' {
            if !members.is_empty() {
                self.take(',')?;
                self.peek()?;
            }
            let name = self.text()?;
            self.take(':')?;
            members.push((name, self.value()?));
        }
        self.take('}')?;
        Some(Json::Object(members))
    }
}

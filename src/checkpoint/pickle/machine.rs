//! The stack machine of a pickle (protocols 0 to 5), without its calls.
//! The opcodes are those of <https://docs.python.org/3/library/pickletools.html>.

use std::collections::HashMap;

use super::value::{Call, Id, Value};
use crate::error::{Error, Result};

/// Modules with which a pickle could do harm, if anything here called it; `*` is the whole module.
const REFUSED: [(&str, &str); 30] = [
    ("os", "*"),
    ("posix", "*"),
    ("nt", "*"),
    ("sys", "*"),
    ("subprocess", "*"),
    ("commands", "*"),
    ("shutil", "*"),
    ("socket", "*"),
    ("pty", "*"),
    ("runpy", "*"),
    ("code", "*"),
    ("codeop", "*"),
    ("ctypes", "*"),
    ("importlib", "*"),
    ("imp", "*"),
    ("pickle", "*"),
    ("cPickle", "*"),
    ("marshal", "*"),
    ("webbrowser", "*"),
    ("timeit", "*"),
    ("pip", "*"),
    ("multiprocessing", "*"),
    ("asyncio", "*"),
    ("requests", "*"),
    ("urllib", "*"),
    ("torch.hub", "*"),
    ("torch.serialization", "load"),
    ("torch", "load"),
    ("operator", "attrgetter"),
    ("operator", "methodcaller"),
];

/// The only names of `builtins` that data needs.
const BUILTINS: [&str; 15] = [
    "set",
    "frozenset",
    "list",
    "dict",
    "tuple",
    "int",
    "float",
    "bool",
    "str",
    "bytes",
    "bytearray",
    "complex",
    "slice",
    "range",
    "object",
];

fn is_refused(module: &str, name: &str) -> bool {
    if ["builtins", "__builtin__", "__builtins__"].contains(&module) {
        return !BUILTINS.contains(&name);
    }
    REFUSED.iter().any(|(refused, what)| {
        let inside =
            module == *refused || (*what == "*" && module.strip_prefix(refused).is_some_and(|m| m.starts_with('.')));
        inside && (*what == "*" || *what == name)
    })
}

/// Runs the pickle at the start of `bytes`: its values, which of them it is, and how many bytes it took.
///
/// # Errors
/// When it ends early, is no pickle, uses an extension that needs Python, or names what only an attack would.
pub(super) fn run(bytes: &[u8]) -> Result<(Vec<Value>, Id, usize)> {
    let mut machine =
        Machine { bytes, at: 0, values: Vec::new(), stack: Vec::new(), marks: vec![], memo: HashMap::new() };
    let root = machine.run()?;
    Ok((machine.values, root, machine.at))
}

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Stack heights.
    marks: Vec<usize>,
    memo: HashMap<u64, Id>,
}

fn broken(what: &str) -> Error {
    Error::failed(format!("it is not a sound pickle: {what}"))
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Result<Id> {
        loop {
            let code = self.take(1)?[0];
            if code == b'.' {
                return self.pop();
            }
            self.operate(code)?;
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(count).filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| broken("it ends early"))?;
        let taken = &self.bytes[self.at..end];
        self.at = end;
        Ok(taken)
    }

    fn number<const N: usize>(&mut self) -> Result<u64> {
        let mut bytes = [0; 8];
        bytes[..N].copy_from_slice(self.take(N)?);
        Ok(u64::from_le_bytes(bytes))
    }

    fn counted<const N: usize>(&mut self) -> Result<&'a [u8]> {
        let count = self.number::<N>()?;
        self.take(usize::try_from(count).map_err(|_| broken("it ends early"))?)
    }

    fn line(&mut self) -> Result<&'a str> {
        let rest = &self.bytes[self.at..];
        let end = rest.iter().position(|byte| *byte == b'\n').ok_or_else(|| broken("it ends early"))?;
        self.at += end + 1;
        std::str::from_utf8(&rest[..end]).map_err(|_| broken("a line is not text"))
    }

    fn push(&mut self, value: Value) {
        self.values.push(value);
        self.stack.push(self.values.len() - 1);
    }

    fn pop(&mut self) -> Result<Id> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(broken("it takes more from the stack than there is"));
        }
        self.stack.pop().ok_or_else(|| broken("the stack is empty"))
    }

    fn top(&self) -> Result<Id> {
        self.stack.last().copied().ok_or_else(|| broken("the stack is empty"))
    }

    /// What lies above the last mark, which goes.
    fn above_mark(&mut self) -> Result<Vec<Id>> {
        let mark = self.marks.pop().ok_or_else(|| broken("a mark is missing"))?;
        Ok(self.stack.split_off(mark))
    }

    fn pairs(items: &[Id]) -> Result<Vec<(Id, Id)>> {
        if !items.len().is_multiple_of(2) {
            return Err(broken("a key has no value"));
        }
        Ok(items.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
    }

    fn text(&mut self, bytes: &[u8]) -> Result<()> {
        let text = String::from_utf8(bytes.to_vec());
        // Python writes lone surrogates too; they are shown as what they are not.
        let text = text.unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        self.push(Value::Text(text));
        Ok(())
    }

    fn global(&mut self, module: &str, name: &str) -> Result<()> {
        if is_refused(module, name) {
            return Err(Error::failed(format!("it wants to use `{module}.{name}`, so it is a program and not data"))
                .help("nothing was executed; do not open this file in Python either"));
        }
        self.push(Value::Global(module.to_owned(), name.to_owned()));
        Ok(())
    }

    fn call(&mut self, callee: Id, args: Id) -> Result<()> {
        if !matches!(self.values[callee], Value::Global(..) | Value::Call(_)) {
            return Err(broken("it calls what is neither a class nor a function"));
        }
        self.push(Value::Call(Call { callee, args, state: None, items: Vec::new(), pairs: Vec::new() }));
        Ok(())
    }

    fn append(&mut self, items: Vec<Id>) -> Result<()> {
        let target = self.top()?;
        match &mut self.values[target] {
            Value::List(list) | Value::Set(list) | Value::Call(Call { items: list, .. }) => list.extend(items),
            _ => return Err(broken("it appends to what is no list")),
        }
        Ok(())
    }

    fn set(&mut self, new: Vec<(Id, Id)>) -> Result<()> {
        let target = self.top()?;
        match &mut self.values[target] {
            Value::Dict(pairs) | Value::Call(Call { pairs, .. }) => pairs.extend(new),
            _ => return Err(broken("it sets a key in what is no mapping")),
        }
        Ok(())
    }

    fn operate(&mut self, code: u8) -> Result<()> {
        match code {
            0x80 => {
                let version = self.take(1)?[0];
                if version > 5 {
                    return Err(broken(&format!("its protocol {version} is unknown")));
                }
            }
            // A frame is only a hint for reading.
            0x95 => drop(self.take(8)?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => {
                // As Python's: a mark is popped like a value.
                if self.marks.last() == Some(&self.stack.len()) {
                    self.marks.pop();
                } else {
                    self.pop()?;
                }
            }
            b'1' => drop(self.above_mark()?),
            b'2' => self.stack.push(self.top()?),
            b'N' => self.push(Value::None),
            0x88 => self.push(Value::Bool(true)),
            0x89 => self.push(Value::Bool(false)),
            b'I' => match self.line()? {
                "00" => self.push(Value::Bool(false)),
                "01" => self.push(Value::Bool(true)),
                line => self.decimal(line)?,
            },
            b'L' => {
                let line = self.line()?;
                self.decimal(line.trim_end_matches('L'))?;
            }
            b'J' => {
                let number = self.number::<4>()? as u32 as i32;
                self.push(Value::Int(i64::from(number)));
            }
            b'K' => {
                let number = self.number::<1>()? as i64;
                self.push(Value::Int(number));
            }
            b'M' => {
                let number = self.number::<2>()? as i64;
                self.push(Value::Int(number));
            }
            0x8a => {
                let bytes = self.counted::<1>()?;
                self.long(bytes);
            }
            0x8b => {
                let bytes = self.counted::<4>()?;
                self.long(bytes);
            }
            b'F' => {
                let line = self.line()?;
                let number = line.parse().map_err(|_| broken("a number is none"))?;
                self.push(Value::Float(number));
            }
            b'G' => {
                let number = f64::from_bits(self.number::<8>()?.swap_bytes());
                self.push(Value::Float(number));
            }
            b'S' => {
                let line = self.line()?;
                let bytes = unquoted(line).ok_or_else(|| broken("a string has no quotes"))?;
                self.push(Value::Bytes(bytes));
            }
            b'T' => {
                let bytes = self.counted::<4>()?.to_vec();
                self.push(Value::Bytes(bytes));
            }
            b'U' | b'C' => {
                let bytes = self.counted::<1>()?.to_vec();
                self.push(Value::Bytes(bytes));
            }
            b'B' => {
                let bytes = self.counted::<4>()?.to_vec();
                self.push(Value::Bytes(bytes));
            }
            0x8e | 0x96 => {
                let bytes = self.counted::<8>()?.to_vec();
                self.push(Value::Bytes(bytes));
            }
            b'V' => {
                let line = self.line()?;
                self.push(Value::Text(unescaped(line)));
            }
            b'X' => {
                let bytes = self.counted::<4>()?;
                self.text(bytes)?;
            }
            0x8c => {
                let bytes = self.counted::<1>()?;
                self.text(bytes)?;
            }
            0x8d => {
                let bytes = self.counted::<8>()?;
                self.text(bytes)?;
            }
            b']' => self.push(Value::List(Vec::new())),
            b')' => self.push(Value::Tuple(Vec::new())),
            b'}' => self.push(Value::Dict(Vec::new())),
            0x8f => self.push(Value::Set(Vec::new())),
            b'l' => {
                let items = self.above_mark()?;
                self.push(Value::List(items));
            }
            b't' => {
                let items = self.above_mark()?;
                self.push(Value::Tuple(items));
            }
            0x85..=0x87 => {
                let mut items = (0..code - 0x84).map(|_| self.pop()).collect::<Result<Vec<_>>>()?;
                items.reverse();
                self.push(Value::Tuple(items));
            }
            b'd' => {
                let pairs = Self::pairs(&self.above_mark()?)?;
                self.push(Value::Dict(pairs));
            }
            0x91 => {
                let items = self.above_mark()?;
                self.push(Value::Set(items));
            }
            b'a' => {
                let item = self.pop()?;
                self.append(vec![item])?;
            }
            b'e' | 0x90 => {
                let items = self.above_mark()?;
                self.append(items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set(vec![(key, value)])?;
            }
            b'u' => {
                let pairs = Self::pairs(&self.above_mark()?)?;
                self.set(pairs)?;
            }
            b'g' | b'p' => {
                let name = self.line()?.parse().map_err(|_| broken("a memo's number is none"))?;
                if code == b'g' { self.recall(name)? } else { self.remember(name)? }
            }
            b'h' => {
                let name = self.number::<1>()?;
                self.recall(name)?;
            }
            b'j' => {
                let name = self.number::<4>()?;
                self.recall(name)?;
            }
            b'q' => {
                let name = self.number::<1>()?;
                self.remember(name)?;
            }
            b'r' => {
                let name = self.number::<4>()?;
                self.remember(name)?;
            }
            0x94 => self.remember(self.memo.len() as u64)?,
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.global(module, name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (Value::Text(module), Value::Text(name)) = (&self.values[module], &self.values[name]) else {
                    return Err(broken("a name is not text"));
                };
                let (module, name) = (module.clone(), name.clone());
                self.global(&module, &name)?;
            }
            b'R' | 0x81 => {
                let (args, callee) = (self.pop()?, self.pop()?);
                self.call(callee, args)?;
            }
            0x92 => {
                let (_keywords, args, callee) = (self.pop()?, self.pop()?, self.pop()?);
                self.call(callee, args)?;
            }
            b'i' => {
                let (module, name) = (self.line()?, self.line()?);
                let args = self.above_mark()?;
                self.global(module, name)?;
                let callee = self.pop()?;
                self.values.push(Value::Tuple(args));
                self.call(callee, self.values.len() - 1)?;
            }
            b'o' => {
                let mut args = self.above_mark()?;
                if args.is_empty() {
                    return Err(broken("a class is missing"));
                }
                let callee = args.remove(0);
                self.values.push(Value::Tuple(args));
                self.call(callee, self.values.len() - 1)?;
            }
            b'b' => {
                let state = self.pop()?;
                let target = self.top()?;
                match &mut self.values[target] {
                    Value::Call(call) => call.state = Some(state),
                    _ => return Err(broken("it sets the state of what is no object")),
                }
            }
            b'P' => {
                let name = self.line()?.to_owned();
                self.values.push(Value::Text(name));
                self.push(Value::Persistent(self.values.len() - 1));
            }
            b'Q' => {
                let name = self.pop()?;
                self.push(Value::Persistent(name));
            }
            0x82..=0x84 => return Err(broken("it uses an extension registry, which only Python has")),
            0x97 | 0x98 => return Err(broken("its buffers are kept elsewhere")),
            other => return Err(broken(&format!("0x{other:02x} is no opcode"))),
        }
        Ok(())
    }

    fn decimal(&mut self, line: &str) -> Result<()> {
        match line.parse() {
            Ok(number) => self.push(Value::Int(number)),
            // Beyond 64 bits; nobody reads such a number here.
            Err(_) => self.push(Value::Float(line.parse().map_err(|_| broken("a number is none"))?)),
        }
        Ok(())
    }

    fn long(&mut self, bytes: &[u8]) {
        if bytes.len() > 8 {
            return self.push(Value::Long);
        }
        let sign = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 };
        let mut number = [sign; 8];
        number[..bytes.len()].copy_from_slice(bytes);
        self.push(Value::Int(i64::from_le_bytes(number)));
    }

    fn recall(&mut self, name: u64) -> Result<()> {
        let id = self.memo.get(&name).copied().ok_or_else(|| broken("it recalls what it never remembered"))?;
        self.stack.push(id);
        Ok(())
    }

    fn remember(&mut self, name: u64) -> Result<()> {
        let top = self.top()?;
        self.memo.insert(name, top);
        Ok(())
    }
}

/// The bytes of a quoted Python 2 string.
fn unquoted(line: &str) -> Option<Vec<u8>> {
    let quote = line.chars().next().filter(|quote| *quote == '\'' || *quote == '"')?;
    let inner = line.strip_prefix(quote)?.strip_suffix(quote)?;
    let mut bytes = Vec::new();
    let mut rest = inner.as_bytes().iter().copied().peekable();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next()? {
            b'n' => b'\n',
            b't' => b'\t',
            b'r' => b'\r',
            b'x' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => other,
        });
    }
    Some(bytes)
}

/// Text with `\uXXXX` and `\UXXXXXXXX` resolved.
fn unescaped(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let tail = &rest[at + 1..];
        let length = match tail.as_bytes().first() {
            Some(b'u') => 4,
            Some(b'U') => 8,
            _ => 0,
        };
        let code = tail.get(1..=length).filter(|_| length > 0).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        if let Some(code) = code {
            text.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            rest = &tail[1 + length..];
        } else {
            text.push('\\');
            rest = tail;
        }
    }
    text.push_str(rest);
    text
}

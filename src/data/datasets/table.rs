//! Tables of text: CSV, TSV and JSON lines.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use indexmap::IndexSet;

use crate::error::{Error, Result};

/// A table: named columns, rows of text.
#[derive(Clone, Debug)]
pub struct Table {
    /// The file.
    pub path: PathBuf,
    /// Names of the columns; one that has none is empty.
    pub columns: Vec<String>,
    /// As many values a row as there are columns; a value that is not there is empty.
    pub rows: Vec<Vec<String>>,
    /// The line of each row in the file, from 1.
    pub lines: Vec<u64>,
}

impl Table {
    /// Reads a table. A file that ends in `.jsonl` or `.ndjson` is JSON lines; otherwise it has a header and values
    /// apart by `separator`, or by what its name says (`.tsv`) or its header has most of: comma, semicolon or tab. A
    /// byte order mark is left out.
    ///
    /// # Errors
    /// When the file cannot be read or is no such table; names the file and the line.
    pub fn read(path: &Path, separator: Option<u8>) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|error| Error::io("read", path, error))?;
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes);
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_lowercase()).unwrap_or_default();
        let table = match ending.as_str() {
            "jsonl" | "ndjson" => Self::json_lines(path, bytes)?,
            _ => Self::separated(path, bytes, separator.unwrap_or_else(|| guess(bytes, &ending)))?,
        };
        if table.columns.is_empty() {
            return Err(Error::request(format!("{} has no columns: it is empty", path.display())));
        }
        Ok(table)
    }

    fn separated(path: &Path, bytes: &[u8], separator: u8) -> Result<Self> {
        let failed = |error: csv::Error| Error::request(format!("{}: {error}", path.display()));
        let mut reader = csv::ReaderBuilder::new().delimiter(separator).from_reader(bytes);
        let columns = reader.headers().map_err(failed)?.iter().map(|name| name.trim().to_owned()).collect();
        let (mut rows, mut lines) = (Vec::new(), Vec::new());
        for record in reader.records() {
            let record = record.map_err(failed)?;
            lines.push(record.position().map_or(0, csv::Position::line));
            rows.push(record.iter().map(str::to_owned).collect());
        }
        Ok(Table { path: path.to_path_buf(), columns, rows, lines })
    }

    fn json_lines(path: &Path, bytes: &[u8]) -> Result<Self> {
        let text =
            std::str::from_utf8(bytes).map_err(|error| Error::request(format!("{}: {error}", path.display())))?;
        let mut columns: IndexSet<String> = IndexSet::new();
        let mut found = Vec::new();
        for (number, line) in (1u64..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty()) {
            let row: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).map_err(|error| {
                Error::request(format!("{}, line {number}: {error}", path.display()))
                    .help("each line is a JSON object: {\"path\": \"a.jpg\", \"label\": \"x\"}")
            })?;
            columns.extend(row.keys().cloned());
            found.push((number, row));
        }
        let columns: Vec<String> = columns.into_iter().collect();
        let text = |value: Option<&serde_json::Value>| match value {
            None | Some(serde_json::Value::Null) => String::new(),
            Some(serde_json::Value::String(text)) => text.clone(),
            // A list of labels reads as `;`-separated ones do.
            Some(serde_json::Value::Array(list)) => {
                let words = list.iter().map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned));
                words.collect::<Vec<_>>().join(";")
            }
            Some(other) => other.to_string(),
        };
        let rows = found.iter().map(|(_, row)| columns.iter().map(|name| text(row.get(name))).collect()).collect();
        let lines = found.iter().map(|(number, _)| *number).collect();
        Ok(Table { path: path.to_path_buf(), columns, rows, lines })
    }

    /// The place of a column.
    ///
    /// # Errors
    /// When there is none of this name; says which there are.
    pub fn column(&self, name: &str, argument: &str) -> Result<usize> {
        self.columns.iter().position(|column| column == name).ok_or_else(|| {
            let path = self.path.display();
            let named = self.columns.iter().filter(|name| !name.is_empty()).cloned().collect::<Vec<_>>().join(", ");
            let message = format!("{path} has no column `{name}`, which {argument} names; it has {named}");
            if self.columns.len() == 1 {
                Error::request(message).help("is the separator right? Set it to ';', ',' or '\\t'")
            } else {
                Error::request(message)
            }
        })
    }

    /// Refuses a value that occurs in a column twice.
    ///
    /// # Errors
    /// Names the value and the lines.
    pub fn unique(&self, column: usize) -> Result<()> {
        let mut seen: HashMap<&str, u64> = HashMap::new();
        for (row, &line) in self.rows.iter().zip(&self.lines) {
            if let Some(first) = seen.insert(&row[column], line) {
                let (path, name) = (self.path.display(), &self.columns[column]);
                let message =
                    format!("{path}: `{}` stands in column `{name}` of lines {first} and {line}", row[column]);
                return Err(Error::request(message));
            }
        }
        Ok(())
    }

    /// A row in words for messages: the file and the line.
    pub fn place(&self, row: usize) -> String {
        format!("{}, line {}", self.path.display(), self.lines.get(row).copied().unwrap_or(0))
    }
}

fn guess(bytes: &[u8], ending: &str) -> u8 {
    if matches!(ending, "tsv" | "tab") {
        return b'\t';
    }
    let header = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let count = |separator: u8| header.iter().filter(|byte| **byte == separator).count();
    // The last of equals wins: comma.
    [b'\t', b';', b','].into_iter().max_by_key(|separator| count(*separator)).unwrap_or(b',')
}

/// A separator as users write it: one character, or `\t`.
///
/// # Errors
/// When it is something else.
pub fn separator(text: Option<&str>) -> Result<Option<u8>, &'static str> {
    match text.map(str::as_bytes) {
        None => Ok(None),
        Some(b"\\t" | b"tab") => Ok(Some(b'\t')),
        Some([one]) if one.is_ascii() && *one != b'"' && *one != b'\n' => Ok(Some(*one)),
        Some(_) => Err("`separator` is one character: ',', ';' or '\\t'"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str, text: &str) -> Result<Table> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        Table::read(&path, None)
    }

    #[test]
    fn tables_of_all_kinds() {
        let table = read("a.csv", "\u{feff}id,label,\na,\"x;y\",\nb,z,\n").unwrap();
        assert_eq!(table.columns, ["id", "label", ""]);
        assert_eq!((table.rows[0][1].as_str(), table.lines.clone()), ("x;y", vec![2, 3]));
        assert_eq!(read("a.csv", "a;b\n1;2\n").unwrap().columns, ["a", "b"]);
        assert_eq!(read("a.tsv", "a\tb,c\n1\t2\n").unwrap().columns, ["a", "b,c"]);
        let table =
            read("a.jsonl", "{\"path\": \"a.jpg\", \"label\": [\"x\", \"y\"]}\n\n{\"path\": \"b.jpg\", \"n\": 2}\n");
        let table = table.unwrap();
        assert_eq!(table.columns, ["path", "label", "n"]);
        assert_eq!(table.rows, [["a.jpg", "x;y", ""], ["b.jpg", "", "2"]]);
        assert_eq!(table.lines, [1, 3]);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let error = |text: &str| read("a.csv", text).err().unwrap().to_string();
        assert!(error("").contains("has no columns"));
        assert!(error("a,b\n1,2,3\n").contains("line: 2"), "{}", error("a,b\n1,2,3\n"));
        assert!(read("a.jsonl", "[1]").err().unwrap().to_string().contains("line 1"));
        let table = read("a.csv", "id,label\nx,1\nx,2\n").unwrap();
        assert!(table.unique(0).unwrap_err().to_string().contains("`x` stands in column `id` of lines 2 and 3"));
        let error = table.column("name", "id_column").unwrap_err().to_string();
        assert!(error.contains("has no column `name`, which id_column names; it has id, label"), "{error}");
        assert_eq!((separator(Some("\\t")), separator(Some("ab")).is_err()), (Ok(Some(b'\t')), true));
    }
}

//! A tree of plain data: what a policy says of itself, and what a configuration file says to a policy.
//!
//! It prints itself as JSON, so that state can be shown without any serialisation library; with the `serde`
//! feature it reads and writes every format that serde knows.

#[cfg(feature = "serde")]
mod serde;

use std::{borrow::Cow, fmt};

use crate::ordered::Ordered;

/// A value as JSON and TOML have them.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// Nothing.
    #[default]
    Null,
    /// A truth.
    Bool(bool),
    /// A whole number, not negative.
    UInt(u64),
    /// A whole number below zero.
    Int(i64),
    /// Any other number. What JSON cannot write (infinite, not a number) is shown as `null`.
    Float(f64),
    /// A text.
    Text(Cow<'static, str>),
    /// A list.
    List(Vec<Value>),
    /// Named values.
    Table(Table),
}

/// Named values, in the order in which they were added.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    entries: Ordered<Cow<'static, str>, Value>,
}

impl Table {
    /// An empty table.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            entries: Ordered::new(),
        }
    }

    /// Sets the value of that name.
    pub fn insert(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) {
        self.entries.insert(name.into(), value.into());
    }

    /// The same, for building a table in one expression.
    #[must_use]
    pub fn with(mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> Self {
        self.insert(name, value);
        self
    }

    /// The value of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.entries.get(name)
    }

    /// The table of that name, made if it is not there (or is something else).
    pub fn table(&mut self, name: &str) -> &mut Table {
        let new = || (Cow::from(name.to_owned()), Value::Null);
        let slot = self.entries.or_insert_with(name, new);
        if !matches!(slot, Value::Table(_)) {
            *slot = Value::Table(Table::new());
        }
        match slot {
            Value::Table(table) => table,
            _ => unreachable!("it was just made a table"),
        }
    }

    /// The names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.entries.iter().map(|(name, value)| (name.as_ref(), value))
    }

    /// How many names there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Value {
    /// Follows names into nested tables.
    ///
    /// ```
    /// use buttress::value::{Table, Value};
    ///
    /// let state = Value::from(Table::new().with("upstream", Table::new().with("requests", 3_u64)));
    /// assert_eq!(state.at(&["upstream", "requests"]), Some(&Value::UInt(3)));
    /// assert_eq!(state.to_string(), r#"{"upstream":{"requests":3}}"#);
    /// ```
    #[must_use]
    pub fn at(&self, path: &[&str]) -> Option<&Value> {
        path.iter().try_fold(self, |value, name| match value {
            Value::Table(table) => table.get(name),
            _ => None,
        })
    }

    /// The number, if it is one that is whole and not negative.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            Value::UInt(n) => Some(*n),
            _ => None,
        }
    }

    /// The number, if it is one.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::UInt(n) => Some(*n as f64),
            Value::Int(n) => Some(*n as f64),
            Value::Float(n) => Some(*n),
            _ => None,
        }
    }

    /// The text, if it is one.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

macro_rules! value_from {
    ($($from:ty => |$x:ident| $value:expr;)*) => {$(
        impl From<$from> for Value {
            fn from($x: $from) -> Self {
                $value
            }
        }
    )*};
}
value_from! {
    bool => |x| Value::Bool(x);
    u32 => |x| Value::UInt(x.into());
    u64 => |x| Value::UInt(x);
    usize => |x| Value::UInt(x as u64);
    i64 => |x| u64::try_from(x).map_or(Value::Int(x), Value::UInt);
    f64 => |x| Value::Float(x);
    &'static str => |x| Value::Text(x.into());
    String => |x| Value::Text(x.into());
    Vec<Value> => |x| Value::List(x);
    Table => |x| Value::Table(x);
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Null, Into::into)
    }
}

/// JSON.
impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("null"),
            Value::Bool(b) => b.fmt(f),
            Value::UInt(n) => n.fmt(f),
            Value::Int(n) => n.fmt(f),
            // `{:?}` keeps what is a float a float: 1.0, not 1.
            Value::Float(n) if n.is_finite() => write!(f, "{n:?}"),
            Value::Float(_) => f.write_str("null"),
            Value::Text(text) => write_text(f, text),
            Value::List(list) => {
                f.write_str("[")?;
                for (i, value) in list.iter().enumerate() {
                    if i > 0 {
                        f.write_str(",")?;
                    }
                    value.fmt(f)?;
                }
                f.write_str("]")
            }
            Value::Table(table) => table.fmt(f),
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{")?;
        for (i, (name, value)) in self.iter().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            write_text(f, name)?;
            write!(f, ":{value}")?;
        }
        f.write_str("}")
    }
}

fn write_text(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    use fmt::Write;
    f.write_char('"')?;
    for c in text.chars() {
        match c {
            '"' => f.write_str("\\\"")?,
            '\\' => f.write_str("\\\\")?,
            '\n' => f.write_str("\\n")?,
            '\r' => f.write_str("\\r")?,
            '\t' => f.write_str("\\t")?,
            c if c < ' ' => write!(f, "\\u{:04x}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('"')
}

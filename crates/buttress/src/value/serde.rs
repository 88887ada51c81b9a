//! Every format that serde knows, to and from plain data. By hand: deriving would bring a compiler of macros
//! along for two short types.

use std::fmt;

use ::serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error, MapAccess, SeqAccess, Unexpected, Visitor},
};

use super::{Table, Value};

/// The names under which two formats hide what serde has no word for. `serde_json` does so with every number as
/// soon as any crate of the program turns its `arbitrary_precision` on.
const JSON_NUMBER: &str = "$serde_json::private::Number";
const TOML_DATE: &str = "$__toml_private_datetime";

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_none(),
            Self::Bool(truth) => serializer.serialize_bool(*truth),
            Self::UInt(n) => serializer.serialize_u64(*n),
            Self::Int(n) => serializer.serialize_i64(*n),
            Self::Float(x) => serializer.serialize_f64(*x),
            Self::Text(text) => serializer.serialize_str(text),
            Self::List(list) => serializer.collect_seq(list),
            Self::Table(table) => table.serialize(serializer),
        }
    }
}

impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

/// A name that occurs twice is an error: one of the two values would silently not count.
impl<'de> Deserialize<'de> for Table {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_map(AnyValue)? {
            Value::Table(table) => Ok(table),
            other => Err(D::Error::invalid_type(
                Unexpected::Other(other.kind()),
                &"a table",
            )),
        }
    }
}

impl Value {
    fn kind(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a truth",
            Self::UInt(_) | Self::Int(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a text",
            Self::List(_) => "a list",
            Self::Table(_) => "a table",
        }
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("plain data")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Value, E> {
        Ok(Value::Bool(truth))
    }

    fn visit_u64<E>(self, n: u64) -> Result<Value, E> {
        Ok(n.into())
    }

    fn visit_i64<E>(self, n: i64) -> Result<Value, E> {
        Ok(n.into())
    }

    fn visit_f64<E>(self, x: f64) -> Result<Value, E> {
        Ok(x.into())
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(text.to_owned().into())
    }

    fn visit_string<E>(self, text: String) -> Result<Value, E> {
        Ok(text.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(value) = seq.next_element()? {
            list.push(value);
        }
        Ok(Value::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut table = Table::new();
        while let Some(name) = map.next_key::<String>()? {
            match name.as_str() {
                JSON_NUMBER => return number(&map.next_value::<String>()?),
                TOML_DATE => {
                    return Err(A::Error::custom(
                        "a date is not understood here: write it as a text, in quotes",
                    ));
                }
                _ if table.get(&name).is_some() => {
                    return Err(A::Error::custom(format_args!("`{name}` is there twice")));
                }
                _ => table.insert(name, map.next_value::<Value>()?),
            }
        }
        Ok(Value::Table(table))
    }
}

fn number<E: Error>(text: &str) -> Result<Value, E> {
    let whole = || text.parse::<i64>().ok().map(Value::from);
    let any = || text.parse::<f64>().ok().map(Value::from);
    let number = text.parse::<u64>().ok().map(Value::from);
    number
        .or_else(whole)
        .or_else(any)
        .ok_or_else(|| E::custom("a number is malformed"))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::{config, duration};

    const FILE: &str = r#"
        listen = "127.0.0.1:8080"
        weights = [1, -2, 0.5]

        [upstream]
        open_for = "30s"
        enabled = true

        [[upstream.endpoint]]
        name = "a"
    "#;

    #[test]
    fn a_toml_file_becomes_a_table() {
        let table: Table = toml::from_str(FILE).expect("valid TOML");
        assert_eq!(
            Value::from(table).to_string(),
            r#"{"listen":"127.0.0.1:8080","upstream":{"enabled":true,"endpoint":[{"name":"a"}],"open_for":"30s"},"weights":[1,-2,0.5]}"#,
        );
    }

    #[test]
    fn a_section_reads_what_a_file_says() {
        let table: Table = toml::from_str("[upstream]\nopen_for = \"30s\"\nopen_to = 3").expect("valid TOML");
        let mut open_for = None;
        let error = config::read(&table, |root| {
            open_for = root.section("upstream")?.duration("open_for");
            Some(())
        })
        .expect_err("an unknown key");
        assert_eq!(open_for, duration::parse("30s").ok());
        assert_eq!(error.problems()[0].key(), "upstream.open_to");
    }

    #[test]
    fn json_goes_there_and_back() {
        let text = r#"{"a":[null,true,1,-1,0.5,18446744073709551615],"b":{"c":"d"}}"#;
        let value: Value = serde_json::from_str(text).expect("valid JSON");
        assert_eq!(serde_json::to_string(&value).expect("plain data"), text);
        assert_eq!(value.to_string(), text);
    }

    #[test]
    fn a_name_that_occurs_twice_is_refused() {
        let error = serde_json::from_str::<Table>(r#"{"a":1,"a":2}"#).expect_err("ambiguous");
        assert!(error.to_string().contains("`a` is there twice"), "{error}");
    }

    #[test]
    fn a_date_is_refused_with_a_way_out() {
        let error = toml::from_str::<Table>("since = 2024-01-01").expect_err("not plain data");
        assert!(error.to_string().contains("in quotes"), "{error}");
    }

    #[test]
    fn a_number_of_any_precision_is_a_number() {
        for (text, value) in [
            ("3", Value::UInt(3)),
            ("-3", Value::Int(-3)),
            ("0.25", Value::Float(0.25)),
        ] {
            let hidden = format!(r#"{{"{JSON_NUMBER}":"{text}"}}"#);
            assert_eq!(serde_json::from_str::<Value>(&hidden).expect("a number"), value);
        }
    }

    #[test]
    fn what_is_no_table_is_not_read_as_one() {
        assert!(serde_json::from_str::<Table>("[1]").is_err());
        assert!(serde_json::from_str::<Table>(&format!(r#"{{"{JSON_NUMBER}":"1"}}"#)).is_err());
    }
}

//! What the columns of a table are, asked of the type of its rows.
//!
//! A row's fields are the columns of its file, in order; serde knows them. A column that a reader can do without, an
//! `Option` or one with a default, may be missing: files of earlier versions lack some.

use csv::StringRecord;
use serde::de::value::{Error as Stop, MapDeserializer, StrDeserializer, UnitDeserializer};
use serde::de::{Deserializer, Error as _, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use super::Table;

/// The schema of a table, without its type.
#[derive(Clone, Copy)]
pub struct Schema {
    /// What the file is called.
    pub file: &'static str,
    /// What is read beside it, where it is there.
    pub beside: &'static [&'static str],
    columns: fn() -> &'static [&'static str],
    required: fn() -> Vec<&'static str>,
}

impl Schema {
    pub const fn of<T: Table>() -> Schema {
        Schema { file: T::FILE, beside: T::BESIDE, columns: columns::<T>, required: required::<T> }
    }

    /// Names of the columns, in order.
    pub fn columns(&self) -> &'static [&'static str] {
        (self.columns)()
    }

    /// How many of the columns a file has that has all which are required, else `None`. Further columns do not matter.
    pub fn fit(&self, header: &StringRecord) -> Option<usize> {
        let has = |name: &&str| header.iter().any(|own| own == *name);
        let fits = (self.required)().iter().all(has);
        fits.then(|| self.columns().iter().filter(|name| has(name)).count())
    }
}

/// Names of the columns, in order.
pub fn columns<T: Table>() -> &'static [&'static str] {
    let mut names: &'static [&'static str] = &[];
    // It stops at the names.
    let _ = T::deserialize(Names(&mut names));
    names
}

/// Those without which no row can be read.
fn required<T: Table>() -> Vec<&'static str> {
    let all = columns::<T>();
    let without = |name: &&&str| {
        let others = all.iter().filter(|other| other != name).map(|other| (*other, Blank));
        T::deserialize(MapDeserializer::<_, Stop>::new(others)).is_err()
    };
    all.iter().filter(without).copied().collect()
}

/// Takes down what fields a struct has, and gives none.
struct Names<'a>(&'a mut &'static [&'static str]);

impl<'de> Deserializer<'de> for Names<'_> {
    type Error = Stop;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        Err(Stop::custom("a row is a struct"))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        _: V,
    ) -> Result<V::Value, Stop> {
        *self.0 = fields;
        Err(Stop::custom("only names"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct
        seq tuple tuple_struct map enum identifier ignored_any
    }
}

/// A cell that is whatever its column takes.
struct Blank;

impl IntoDeserializer<'_, Stop> for Blank {
    type Deserializer = Blank;

    fn into_deserializer(self) -> Blank {
        self
    }
}

impl<'de> Deserializer<'de> for Blank {
    type Error = Stop;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_u8(0)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_bool(false)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_str("")
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        visitor.visit_str("")
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        UnitDeserializer::new().deserialize_option(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        words: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        let first: StrDeserializer<Stop> = words.first().copied().unwrap_or_default().into_deserializer();
        first.deserialize_enum(name, words, visitor)
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char bytes byte_buf unit unit_struct newtype_struct seq tuple tuple_struct
        map struct identifier ignored_any
    }
}

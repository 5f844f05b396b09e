//! The canonical form, straight from a value's own description of itself: members sorted as RFC 8785 has them
//! (section 3.2.3), no white space, printable ASCII only, and nothing built in between.
//!
//! How text and numbers are spelled is left to [`super::writer`].

use std::borrow::Cow;
use std::fmt::{self, Write};
use std::ops::Range;

use serde::Serialize;
use serde::ser::{self, Error as _, Serializer};
use serde_json::{Error, Number, Value};

use super::writer::{is_plain, write_any, write_string};

/// Writes a value behind what is there.
///
/// # Errors
/// When the value has map keys that are no text, or bytes.
pub(super) fn write<T: Serialize + ?Sized>(value: &T, out: &mut String) -> Result<(), Error> {
    value.serialize(Canon { out })
}

struct Canon<'a> {
    out: &'a mut String,
}

impl Canon<'_> {
    fn put(self, value: &Value) -> Result<(), Error> {
        write_any(value, self.out);
        Ok(())
    }
}

impl<'a> Serializer for Canon<'a> {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = Array<'a>;
    type SerializeTuple = Array<'a>;
    type SerializeTupleStruct = Array<'a>;
    type SerializeTupleVariant = Array<'a>;
    type SerializeMap = Object<'a>;
    type SerializeStruct = Object<'a>;
    type SerializeStructVariant = Object<'a>;

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.put(&Value::Bool(value))
    }

    fn serialize_i8(self, value: i8) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<(), Error> {
        self.put(&value.into())
    }

    fn serialize_u8(self, value: u8) -> Result<(), Error> {
        self.serialize_u64(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result<(), Error> {
        self.serialize_u64(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<(), Error> {
        self.serialize_u64(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<(), Error> {
        self.put(&value.into())
    }

    fn serialize_f32(self, value: f32) -> Result<(), Error> {
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Error> {
        self.put(&Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        write_string(value, self.out);
        Ok(())
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<(), Error> {
        // Digests and keys are plain, and plain text is its own form.
        let start = self.out.len();
        write!(self.out, "\"{value}\"").map_err(Error::custom)?;
        let written = self.out.get(start + 1..self.out.len() - 1).unwrap_or_default();
        if is_plain(written) {
            return Ok(());
        }
        self.out.truncate(start);
        self.serialize_str(&value.to_string())
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), Error> {
        Err(Error::custom("bytes have no canonical form of ours"))
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.put(&Value::Null)
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Error> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        open_variant(self.out, variant);
        write(value, self.out)?;
        self.out.push('}');
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Array<'a>, Error> {
        Ok(Array::open(self.out, "]"))
    }

    fn serialize_tuple(self, _: usize) -> Result<Array<'a>, Error> {
        Ok(Array::open(self.out, "]"))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Array<'a>, Error> {
        Ok(Array::open(self.out, "]"))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Array<'a>, Error> {
        open_variant(self.out, variant);
        Ok(Array::open(self.out, "]}"))
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Object<'a>, Error> {
        Ok(Object::open(self.out, "}", length.unwrap_or_default()))
    }

    fn serialize_struct(self, _: &'static str, length: usize) -> Result<Object<'a>, Error> {
        Ok(Object::open(self.out, "}", length))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        length: usize,
    ) -> Result<Object<'a>, Error> {
        open_variant(self.out, variant);
        Ok(Object::open(self.out, "}}", length))
    }
}

fn open_variant(out: &mut String, variant: &str) {
    out.push('{');
    write_string(variant, out);
    out.push(':');
}

struct Array<'a> {
    out: &'a mut String,
    first: bool,
    close: &'static str,
}

impl<'a> Array<'a> {
    fn open(out: &'a mut String, close: &'static str) -> Self {
        out.push('[');
        Self { out, first: true, close }
    }

    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        if !std::mem::take(&mut self.first) {
            self.out.push(',');
        }
        write(value, self.out)
    }

    fn close(self) -> Result<(), Error> {
        self.out.push_str(self.close);
        Ok(())
    }
}

/// Members in the order in which they come, and at the end in the order of their names.
struct Object<'a> {
    out: &'a mut String,
    begin: usize,
    members: Vec<(Cow<'static, str>, Range<usize>)>,
    name: Option<String>,
    close: &'static str,
}

impl<'a> Object<'a> {
    fn open(out: &'a mut String, close: &'static str, length: usize) -> Self {
        out.push('{');
        let begin = out.len();
        Self { out, begin, members: Vec::with_capacity(length), name: None, close }
    }

    fn member<T: Serialize + ?Sized>(&mut self, name: Cow<'static, str>, value: &T) -> Result<(), Error> {
        if !self.members.is_empty() {
            self.out.push(',');
        }
        let start = self.out.len();
        write_string(&name, self.out);
        self.out.push(':');
        write(value, self.out)?;
        self.members.push((name, start..self.out.len()));
        Ok(())
    }

    fn close(mut self) -> Result<(), Error> {
        let in_order = |a: &str, b: &str| a.encode_utf16().le(b.encode_utf16());
        if !self.members.is_sorted_by(|(a, _), (b, _)| in_order(a, b)) {
            self.members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            let written = self.out.split_off(self.begin);
            for (index, (_, range)) in self.members.into_iter().enumerate() {
                self.out.push_str(if index == 0 { "" } else { "," });
                let (start, end) = (range.start - self.begin, range.end - self.begin);
                self.out.push_str(written.get(start..end).unwrap_or_default());
            }
        }
        self.out.push_str(self.close);
        Ok(())
    }
}

macro_rules! arrays {
    ($( $kind:ident :: $element:ident; )*) => {
        $( impl ser::$kind for Array<'_> {
            type Ok = ();
            type Error = Error;
            fn $element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                self.element(value)
            }
            fn end(self) -> Result<(), Error> {
                self.close()
            }
        } )*
    };
}

arrays! {
    SerializeSeq::serialize_element;
    SerializeTuple::serialize_element;
    SerializeTupleStruct::serialize_field;
    SerializeTupleVariant::serialize_field;
}

macro_rules! objects {
    ($( $kind:ident; )*) => {
        $( impl ser::$kind for Object<'_> {
            type Ok = ();
            type Error = Error;
            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), Error> {
                self.member(Cow::Borrowed(name), value)
            }
            fn end(self) -> Result<(), Error> {
                self.close()
            }
        } )*
    };
}

objects! {
    SerializeStruct;
    SerializeStructVariant;
}

impl ser::SerializeMap for Object<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        // What is text as a value is text as a name; whole numbers and the rest are no names of ours.
        let Value::String(name) = serde_json::to_value(key)? else {
            return Err(Error::custom("a name must be text"));
        };
        self.name = Some(name);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let name = self.name.take().unwrap_or_default();
        self.member(Cow::Owned(name), value)
    }

    fn end(self) -> Result<(), Error> {
        self.close()
    }
}

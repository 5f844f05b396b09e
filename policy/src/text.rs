//! Values that are one text in documents: written by the form that is shown, without a copy in between.

use serde::{Serialize, Serializer};

use crate::digest::Digest;
use crate::name::{Scope, Version};
use crate::provider::Subject;
use crate::wire::Nonce;

macro_rules! shown {
    ($( $value:ty ),*) => {
        $( impl Serialize for $value {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        } )*
    };
}

shown!(Digest, Nonce, Scope, Subject, Version);

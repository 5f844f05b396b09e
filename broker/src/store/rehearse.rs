//! Appending without consequences, for measuring: the log's own writer on a log of its own, and nothing comes back
//! that could be signed.

use std::path::Path;

use policy::log::Step;

use super::schema::LOG;
use super::sqlite::{Pages, create};
use super::writer::Writer;
use crate::error::Error;

/// A log that nobody reads.
pub struct Log(Option<Writer>);

impl Log {
    /// Makes one.
    ///
    /// # Errors
    /// [`Error::Store`], also when something is there already.
    pub async fn create(path: &Path) -> Result<Self, Error> {
        create(path, &LOG).await?;
        Ok(Self(Some(Writer::open(path, Pages::AtOnce).await?)))
    }

    /// Opens one that is there: whoever measures appends what follows from its end.
    ///
    /// # Errors
    /// As [`super::LogReader::open`].
    pub async fn open(path: &Path) -> Result<Self, Error> {
        Ok(Self(Some(Writer::open(path, Pages::AtOnce).await?)))
    }

    /// Folds what was appended into the file.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn close(self) -> Result<(), Error> {
        match self.0 {
            Some(writer) => writer.close().await,
            None => Ok(()),
        }
    }

    /// Appends a batch as the sequencer would.
    ///
    /// # Errors
    /// [`Error::Store`]; after one, nothing is appended any more.
    pub async fn append(&mut self, batch: Vec<Step<()>>) -> Result<(), Error> {
        let gone = || Error::Unavailable("the log was given up after an error".to_owned());
        let (writer, _) = self.0.take().ok_or_else(gone)?.commit(batch).await?;
        self.0 = Some(writer);
        Ok(())
    }
}

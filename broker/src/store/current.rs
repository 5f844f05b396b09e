//! A reader of whatever log lies at a path now: it is opened again where another file took the place of the one it reads.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Mutex;

use super::held::Held;
use super::reader::LogReader;
use crate::error::Error;

/// A reader that goes with what lies at a path.
pub(crate) struct Current {
    path: PathBuf,
    open: Mutex<Option<(Held, Arc<LogReader>)>>,
}

impl Current {
    /// Of the log at that path, opened with its first use.
    pub(crate) fn of(path: &Path) -> Self {
        Self { path: path.to_owned(), open: Mutex::new(None) }
    }

    /// The reader of what lies there; whoever still reads with another goes on with that one.
    ///
    /// # Errors
    /// As [`LogReader::open`].
    pub(crate) async fn now(&self) -> Result<Arc<LogReader>, Error> {
        let mut open = self.open.lock().await;
        if let Some((held, reader)) = open.as_ref()
            && !held.is_replaced()
        {
            return Ok(Arc::clone(reader));
        }
        // Looked at first: what takes its place meanwhile is noticed with the next use.
        let held = Held::at(&self.path);
        let reader = Arc::new(LogReader::open(&self.path).await?);
        *open = Some((held, Arc::clone(&reader)));
        Ok(reader)
    }
}

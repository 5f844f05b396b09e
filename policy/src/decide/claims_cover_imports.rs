//! Where older claims list capabilities, an import that they do not list is refused: a bound, never a permission (T49).

use super::Start;
use super::words::listed;
use crate::examine::Evidence;
use crate::name::Package;
use crate::reason::{Reason, Refusal};

pub(super) fn judge(start: &Start<'_>) -> Result<(), Refusal> {
    let Some(Ok(Evidence::Component(claimed))) = &start.question.claims else {
        return Ok(());
    };
    let Some(caps) = &claimed.caps else {
        return Ok(());
    };
    let listed = |package: &Package| {
        let published = start.state.contracts().get(package);
        let old_ids = published.map_or(&[][..], |published| published.contract.legacy_ids.as_slice());
        caps.iter().any(|cap| cap.as_str() == package.as_str() || old_ids.contains(cap))
    };
    match start.question.imports.iter().find(|import| !listed(&import.package)) {
        None => Ok(()),
        Some(_) if start.aside.has(Reason::UndeclaredImport) => Ok(()),
        Some(import) => {
            let detail = format!("`{}` is imported, the claims' `caps` do not list it", import.package);
            Err(Refusal::new(Reason::UndeclaredImport, detail))
        }
    }
}

pub(super) fn fact(start: &Start<'_>) -> String {
    match &start.question.claims {
        Some(Ok(Evidence::Component(claimed))) if claimed.caps.is_some() => {
            let caps = listed(claimed.caps.iter().flatten(), "nothing");
            let imports = listed(start.question.imports.iter().map(|import| &import.package), "nothing");
            format!("the claims' `caps` list {caps}; imported are {imports}")
        }
        _ => "the claims list no `caps`, so they bound nothing".to_owned(),
    }
}

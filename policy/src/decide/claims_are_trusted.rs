//! The claims must be there, genuine, about this subject, and signed by an issuer whose word counts now (I2).

use super::Start;
use super::words::{holds, issuer, listed};
use crate::examine::Evidence;
use crate::issuer::{Kind, Signed};
use crate::name::LegacyId;
use crate::provider::Subject;
use crate::question::What;
use crate::reason::{Reason, Refusal};

pub(super) fn judge(start: &Start<'_>) -> Result<(), Refusal> {
    let runs = &start.question.runs;
    let claims = start.question.claims.as_ref();
    let claims =
        claims.ok_or_else(|| Refusal::new(Reason::ClaimsMissing, format!("`{}` carries no signed claims", runs.id)))?;
    let (subject, kind, issuer, common, caps) = match claims.as_ref().map_err(Clone::clone)? {
        Evidence::Component(claimed) => (
            Subject::Component(claimed.subject),
            Kind::Component,
            claimed.issuer(),
            &claimed.common,
            claimed.caps.as_deref(),
        ),
        Evidence::Provider(claimed) if start.question.what == What::StartProvider => {
            (Subject::Provider(claimed.subject), Kind::Provider, claimed.issuer(), &claimed.common, None)
        }
        Evidence::Provider(_) | Evidence::Contract(_) | Evidence::KeyProof(_) | Evidence::Delegation(_) => {
            return Err(Refusal::new(Reason::ClaimsKind, "the claims are of another kind than what would start"));
        }
    };
    if subject != runs.subject {
        let detail = format!("the claims are about `{subject}`, the request about `{}`", runs.subject);
        return Err(Refusal::new(Reason::ComponentIdNotYours, detail));
    }
    let signed = Signed { issuer, kind, validity: &common.validity };
    let speaks_for = caps.unwrap_or_default().iter().map(LegacyId::as_str);
    start.state.issuers().judge_past(signed, speaks_for, start.now, start.aside).map(drop)
}

pub(super) fn fact(start: &Start<'_>) -> String {
    let runs = &start.question.runs;
    let (about, name, common, caps) = match &start.question.claims {
        None => return format!("`{}` carries no signed claims", runs.id),
        Some(Err(refusal)) => return format!("the claims do not hold: {}", refusal.reason),
        Some(Ok(Evidence::Contract(_) | Evidence::KeyProof(_) | Evidence::Delegation(_))) => {
            return "another statement stands where claims belong".to_owned();
        }
        Some(Ok(Evidence::Component(claimed))) => {
            (claimed.subject.to_string(), claimed.issuer(), &claimed.common, claimed.caps.as_deref())
        }
        Some(Ok(Evidence::Provider(claimed))) => (claimed.subject.to_string(), claimed.issuer(), &claimed.common, None),
    };
    let speaks = caps.map(|caps| format!("; their `caps` list {}", listed(caps, "nothing"))).unwrap_or_default();
    let (trust, times) = (issuer(start.state, name), holds(&common.validity, start.now));
    format!("the claims are about `{about}`, signed by {trust}; {times}{speaks}")
}

//! Who an OpenID provider is: `issuer` and `allowed_tenants`.

use url::{Host, Url};

use super::super::file::ProviderTable;
use super::{Field, Flaw, Found, Problems, kinds, parsed};
use crate::provider::TENANT_PLACEHOLDER;

/// The issuer stays byte for byte what was written: it is compared, not called (DI-02,
/// [OpenID Connect Discovery 1.0 section 4.3](https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderConfigurationValidation)).
pub(super) fn issuer(found: &Found<String>, problems: &mut Problems) -> Option<String> {
    let url =
        Url::parse(&found.value).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.host().is_some());
    let flaw = match &url {
        None => "it is not an http or https URL",
        Some(url) if url.query().is_some() || url.fragment().is_some() => "issuers have no query and no fragment",
        Some(url) if !url.username().is_empty() || url.password().is_some() => "it holds a user name or password",
        Some(url) if url.path().ends_with(WELL_KNOWN) => "it is the address of the discovery document",
        Some(url) if is_of_every_tenant(url) => "tokens name the issuer of their tenant, never this one",
        Some(_) if has_other_braces(&found.value) => {
            "all that can stand for something in it is {tenantid}, once, as a segment"
        }
        Some(_) => return Some(found.value.clone()),
    };
    let help = match (&url, found.value.strip_suffix(WELL_KNOWN)) {
        (_, Some(issuer)) => format!("write \"{issuer}\""),
        (Some(url), None) if is_of_every_tenant(url) => WRITE_TEMPLATE.to_owned(),
        _ => WRITE_ISSUER.to_owned(),
    };
    problems.add(kinds::ISSUER_BAD, &found.place, format!("the issuer cannot be used: {flaw}")).help(help);
    None
}

/// The tenants that are let in. An issuer that stands for all of them needs some: its keys sign for everybody who has an account
/// anywhere.
pub(super) fn allowed_tenants(
    name: &Found<String>,
    table: &ProviderTable,
    problems: &mut Problems,
) -> Option<Vec<String>> {
    let is_template = table.issuer.given().map(|found| found.value.contains(TENANT_PLACEHOLDER));
    let Field::Given(list) = &table.allowed_tenants else {
        let is_absent = table.allowed_tenants.is_absent();
        if let (Some(true), true, Some(found)) = (is_template, is_absent, table.issuer.given()) {
            let flaw = Flaw::new(kinds::TENANTS_MISSING, "is missing, although the issuer is that of any tenant");
            problems.flaw(flaw, &found.place, &format!("{}.allowed_tenants", name.key));
            return None;
        }
        return is_absent.then(Vec::new);
    };
    if is_template == Some(false) {
        problems.on(kinds::TENANTS_WITHOUT_TEMPLATE, list, "is set, but the issuer is no template");
    }
    parsed(&table.allowed_tenants, kinds::EMPTY_TENANTS, problems, tenant)
}

/// A tenant's ID: compared with `tid` byte for byte, and put into the issuer.
fn tenant(found: &Found<String>) -> Result<String, Flaw> {
    let fits = !found.value.is_empty() && found.value.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    fits.then(|| found.value.clone()).ok_or_else(|| Flaw::of(kinds::NO_TENANT, "cannot hold", &found.value))
}

/// Entra's addresses for several tenants, of which none is an issuer.
fn is_of_every_tenant(url: &Url) -> bool {
    let first = url.path_segments().and_then(|mut segments| segments.next());
    url.host() == Some(Host::Domain("login.microsoftonline.com")) && matches!(first, Some("common" | "organizations"))
}

/// Whether anything is left in braces besides one `{tenantid}` that is a whole segment of the path.
fn has_other_braces(issuer: &str) -> bool {
    let segment = format!("/{TENANT_PLACEHOLDER}");
    let rest = match issuer.split_once(&segment) {
        Some((before, after)) if after.is_empty() || after.starts_with('/') => format!("{before}{after}"),
        _ => issuer.to_owned(),
    };
    rest.contains(['{', '}'])
}

/// The help where the issuer is that of every tenant.
const WRITE_TEMPLATE: &str =
    "write \"https://login.microsoftonline.com/{tenantid}/v2.0\", and the tenants into allowed_tenants";
/// The help where nothing better is known.
const WRITE_ISSUER: &str =
    "write the issuer as the provider's discovery document writes it: \"https://login.example.com/realms/corp\"";
/// Where the discovery document is, below the issuer.
const WELL_KNOWN: &str = "/.well-known/openid-configuration";

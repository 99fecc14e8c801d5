//! A provider of several tenants (Microsoft Entra ID): each token names the issuer of its tenant, and only some are let in.

use crate::harness::idp::Faults;
use crate::harness::idp::{IdpSettings, paths};

use crate::harness::{Scene, TestIdp, has_session, param};

const OURS: &str = "9d9a7c1e-2f6b-4a51-b0f4-6c6f3c1f5a2d";
const STRANGER: &str = "11111111-2f6b-4a51-b0f4-6c6f3c1f5a2d";

/// A provider whose document names the template, and whose tokens are of one tenant.
struct Tenants(Scene);

impl Tenants {
    async fn start() -> Self {
        let idp = TestIdp::with(IdpSettings { iss_in_callback: false, ..IdpSettings::default() }).await;
        let settings = format!(
            "[provider.idp]\nissuer = '{}/{{tenantid}}/v2.0'\ndiscovery_url = '{}'\nallowed_tenants = ['{OURS}']",
            idp.issuer(),
            idp.url(paths::DISCOVERY)
        );
        Self(Scene::at(idp, &settings).await)
    }

    /// Lets the provider speak for a tenant, with these claims instead of the honest ones.
    fn speaks(&self, iss: &str, tid: Option<&str>) -> impl Fn(&mut Faults) {
        let (template, iss) = (self.issuer("{tenantid}"), self.issuer(iss));
        let tid = tid.map(str::to_owned);
        move |faults| {
            faults.discovery.members.set("issuer", template.clone());
            for token in [&mut faults.id_token, &mut faults.refreshed_id_token] {
                token.claims.set("iss", iss.clone());
                match &tid {
                    Some(tid) => token.claims.set("tid", tid.clone()),
                    None => token.claims.remove("tid"),
                };
            }
        }
    }

    fn issuer(&self, tenant: &str) -> String {
        format!("{}/{tenant}/v2.0", self.0.idp.issuer())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_of_a_tenant_that_is_let_in_have_its_issuer() {
    // ID-02, ID-18, RF-08
    let mut all = Tenants::start().await;
    let (browser, page) = all.0.signs_in_while(all.speaks(OURS, Some(OURS))).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let session = browser.fetches(&all.0.gateway.url("/"), &all.0.gateway.own("session")).await;
    assert!(session.text().contains(&all.issuer(OURS)), "{}", session.text());
    // Renewed, and opened again from the cookie alone.
    all.0.gateway.clock.advance(std::time::Duration::from_secs(59));
    assert_eq!(browser.asks(&all.0.gateway.url("/")).await.status, 200);
    assert_eq!(all.0.idp.token_requests("refresh_token").len(), 1);
    all.0.gateway.reload_with("");
    assert_eq!(browser.asks(&all.0.gateway.url("/")).await.status, 200);
    // A tenant that is let in no longer is not served on.
    all.0.gateway.reload_with(&format!("[provider.idp]\nallowed_tenants = ['{STRANGER}']"));
    assert_eq!(browser.asks(&all.0.gateway.url("/")).await.status, 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn people_of_another_tenant_are_told_and_can_choose_another_account() {
    // ID-02, AT-TP-14
    let all = Tenants::start().await;
    let (browser, page) = all.0.signs_in_while(all.speaks(STRANGER, Some(STRANGER))).await;
    assert_eq!((page.status, has_session(&browser), all.0.upstream.seen().len()), (403, false, 0));
    assert!(page.text().contains("VB-1019"), "{}", page.text());
    // To start again would end here again: the provider knows the account.
    let form = page.form("logout");
    let ask = crate::harness::browser::Ask::form(&form.action, &form.fields).from(&page.url).without_following();
    let next = browser.does(ask).await;
    assert_eq!((next.status, param(&next.location(), "prompt")), (303, "select_account".to_owned()));
    for (reason, iss, tid) in [
        ("id_token_iss", STRANGER, Some(OURS)),
        ("id_token_iss", "{tenantid}", Some(OURS)),
        ("id_token_tid", OURS, None),
        ("id_token_tid", "{tenantid}", None),
    ] {
        all.0.refuses_while(reason, all.speaks(iss, tid)).await;
    }
}

//! A challenge: how a client that has to sign in is brought to do so. First a value, [`Invitation`], then an answer.

use std::sync::Arc;

use http::{Response, StatusCode};

use crate::body::Body;
use crate::gateway::Gateway;
use crate::gateway::addresses::redirect;
use crate::gateway::answers::age_limit;
use crate::gateway::error::GatewayError;
use crate::gateway::judgement::Judgement;
use crate::gateway::login::Beginning;
use crate::gateway::pages::page::{Choice, Page, person_of};
use crate::gateway::principal::Principal;
use crate::gateway::routes::Rule;
use crate::gateway::settings::SignInStart;
use crate::gateway::verdict::{Challenge, Lack};
use crate::gateway::visit::Visit;
use crate::policy::settings::Access;
use crate::request::kind::{RequestKind, is_prefetch};
use crate::request::return_to::ReturnTo;

/// What a navigation is sent to for a sign-in. Whatever else needs one gets an error that says where people sign in.
#[derive(Debug)]
pub(super) enum Invitation {
    /// To the provider: this sign-in begins at once.
    Begin(Beginning),
    /// To another page of ours first: the choice of a provider, or the same page at the public URL.
    At(String),
    /// By a page in the place of the one that was asked for. It begins nothing: its links do.
    Here(Box<Page>),
}

impl Gateway {
    /// The answer to a request that needs a sign-in. Only a navigation is sent there; nothing else starts a sign-in or gets a
    /// cookie (CK-25), nor does a prefetch.
    pub(super) async fn challenge(
        self: &Arc<Self>,
        visit: Visit<'_>,
        judgement: &Judgement<'_>,
        challenge: &Challenge,
    ) -> Result<Response<Body>, GatewayError> {
        match self.invitation(visit, judgement, challenge)? {
            Invitation::Begin(beginning) => self.begin(visit, beginning, StatusCode::FOUND).await,
            Invitation::At(url) => Ok(redirect(StatusCode::FOUND, &url)),
            Invitation::Here(page) => Ok(self.render(visit.meta, &page, None)),
        }
    }

    /// How this client is invited to sign in.
    ///
    /// # Errors
    /// The answer of a client that cannot be sent to sign in.
    pub(super) fn invitation(
        &self,
        visit: Visit<'_>,
        judgement: &Judgement<'_>,
        challenge: &Challenge,
    ) -> Result<Invitation, GatewayError> {
        let (rule, meta) = (&*judgement.entry.rule, visit.meta);
        let is_form = meta.kind == RequestKind::FormNavigation;
        let login_url = |page: &ReturnTo| self.login_url(page, self.provider_names(rule).as_deref());
        let lack = match challenge {
            Challenge::Outage(error) => {
                // The provider may be well again for everybody but this session.
                let page = if is_form { self.form_page(visit) } else { ReturnTo::here(meta) };
                let (again, sign_in) = (Some(self.address_of(meta)), Some(login_url(&page)));
                return Err(GatewayError::Provider { name: None, error: Arc::clone(error), again, sign_in });
            }
            Challenge::SignIn(lack) => *lack,
        };
        let api = rule.access == Access::Api;
        if is_form && !api {
            let login_url = login_url(&self.form_page(visit));
            return Err(GatewayError::SignInNeeded { login_url, api, lack, form: true });
        }
        let return_to = ReturnTo::here(meta);
        if api || meta.kind != RequestKind::Navigation || is_prefetch(visit.headers) {
            return Err(GatewayError::SignInNeeded { login_url: login_url(&return_to), api, lack, form: false });
        }
        if !self.signs_in_at(meta) {
            return Ok(Invitation::At(self.public_address_of(meta)));
        }
        // The person chose before.
        let chosen = judgement.sender.as_ref().filter(|_| matches!(lack, Lack::Recent(_)));
        let chosen = chosen.map(|sender| &sender.session().provider);
        let providers = match (rule.providers.as_slice(), chosen) {
            (_, Some(chosen)) => std::slice::from_ref(chosen),
            (all, None) => all,
        };
        if self.settings.pages.sign_in == SignInStart::Page {
            self.check_portable(visit, &return_to)?;
            let choices = self.choices(providers, &return_to, |_| None);
            return Ok(Invitation::Here(Box::new(page_before_sign_in(lack, choices, judgement.sender.as_ref()))));
        }
        let [provider] = providers else {
            self.check_portable(visit, &return_to)?;
            return Ok(Invitation::At(login_url(&return_to)));
        };
        // Also for the first sign-in: without `max_age` the provider may answer with a sign-in of any age.
        Ok(Invitation::Begin(Beginning { max_age: rule.max_age, ..Beginning::at(provider, return_to) }))
    }

    /// The providers that a rule takes, where there is a choice among several.
    fn provider_names(&self, rule: &Rule) -> Option<String> {
        if self.providers.len() == 1 {
            return None;
        }
        let names: Vec<&str> = rule.providers.iter().map(|provider| &**provider.name()).collect();
        Some(names.join(","))
    }
}

/// The page in the place of the one that was asked for.
fn page_before_sign_in(lack: Lack, choices: Vec<Choice>, sender: Option<&Principal>) -> Page {
    let page = Page::before_sign_in(lack.problem(), choices);
    match lack {
        Lack::Session | Lack::Ended => page,
        Lack::Recent(most) => {
            let person = sender.map(|sender| person_of(sender.identity())).unwrap_or_default();
            Page { details: vec![age_limit(most)], person, ..page }
        }
    }
}

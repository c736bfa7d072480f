//! One window of the browser: navigations with cookies, which live as long as it does.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use cookie_store::{CookieStore, RawCookie};
use http::header::{CONTENT_TYPE, COOKIE, LOCATION, ORIGIN, SET_COOKIE};
use http::{Method, StatusCode};
use rustls::ClientConfig;
use url::Url;

use super::form::Form;
use super::{Page, navigation_headers, request};

/// Redirects followed, as browsers do.
const REDIRECT_LIMIT: usize = 20;

/// A window and its cookies.
pub(super) struct Window<'a> {
    tls: &'a Arc<ClientConfig>,
    cookies: CookieStore,
}

impl<'a> Window<'a> {
    pub(super) fn new(tls: &'a Arc<ClientConfig>) -> Self {
        Self { tls, cookies: CookieStore::default() }
    }

    /// Opens an address and follows its redirects.
    pub(super) async fn open(&mut self, url: &str) -> Result<Page> {
        let url = Url::parse(url).context("not an address")?;
        let headers = navigation_headers("none");
        let page = self.send(Method::GET, &url, &headers, Bytes::new()).await?;
        self.redirected(page, &url, "none").await
    }

    /// Submits a form of the page that shows, and follows the redirects.
    pub(super) async fn submit(&mut self, form: &Form) -> Result<Page> {
        let url = form.action.clone();
        let origin = url.origin().ascii_serialization();
        let mut headers = navigation_headers("same-origin").to_vec();
        headers.push((CONTENT_TYPE.as_str(), "application/x-www-form-urlencoded"));
        headers.push((ORIGIN.as_str(), &origin));
        let page = self.send(Method::POST, &url, &headers, Bytes::from(form.encoded())).await?;
        self.redirected(page, &url, "same-origin").await
    }

    /// Follows redirects from a page on. What leaves the origin of `start` is cross-site.
    async fn redirected(&mut self, page: Page, start: &Url, site: &'static str) -> Result<Page> {
        let mut page = page;
        for _ in 0..REDIRECT_LIMIT {
            let location = page.headers.get(LOCATION).filter(|_| page.status.is_redirection());
            let Some(location) = location else { return Ok(page) };
            let repeats = [StatusCode::TEMPORARY_REDIRECT, StatusCode::PERMANENT_REDIRECT];
            ensure!(!repeats.contains(&page.status), "a redirect that repeats the request");
            let url = page.url.join(location.to_str()?).context("Location")?;
            let site = if url.origin() == start.origin() { site } else { "cross-site" };
            page = self.send(Method::GET, &url, &navigation_headers(site), Bytes::new()).await?;
        }
        bail!("redirected without end")
    }

    async fn send(
        &mut self,
        method: Method,
        url: &Url,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Result<Page> {
        let cookies = self.cookies.get_request_values(url);
        let cookies: Vec<_> = cookies.map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = cookies.join("; ");
        let mut headers = headers.to_vec();
        if !cookies.is_empty() {
            headers.push((COOKIE.as_str(), &cookies));
        }
        let page = request(method, url, self.tls, &headers, body).await?;
        let set = page.headers.get_all(SET_COOKIE).iter();
        let set = set.filter_map(|value| RawCookie::parse(value.to_str().ok()?.to_owned()).ok());
        self.cookies.store_response_cookies(set, url);
        Ok(page)
    }
}

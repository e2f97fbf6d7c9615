package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/html"
)

// registerApp tells the sandbox where its app may send people back to, as an
// operator does at the provider's portal.
func (d *demo) registerApp(ctx context.Context, p sandboxProvider) error {
	app := maps.Clone(p.App)
	app["name"], app["redirect_uris"] = "Postern demo", []string{"http://" + d.http + "/oauth/" + p.Name + "/callback"}
	body, err := json.Marshal(app)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.sandbox.Control+"/control/apps", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode/100 != 2 {
		msg, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<10))
		return fmt.Errorf("register app at the sandbox: %s: %s", resp.Status, msg)
	}
	return nil
}

// connectAll connects the sandbox's users through the real sign-in.
func (d *demo) connectAll(ctx context.Context) error {
	var users []struct{ Cloud, Address string }
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.sandbox.Control+"/control/users", nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, &users); err != nil {
		return fmt.Errorf("users of the sandbox: %w", err)
	}
	for _, p := range d.sandbox.Providers {
		connected := 0
		for _, u := range users {
			if u.Cloud != p.Cloud || connected == demoUsers {
				continue
			}
			connected++
			id, err := d.connect(ctx, p.Name, u.Address)
			if err != nil {
				return fmt.Errorf("connect %s: %w", u.Address, err)
			}
			d.info.Accounts = append(d.info.Accounts, demoAccount{ID: id, Address: u.Address, Provider: p.Name})
			d.say("%s connected", u.Address)
		}
	}
	return nil
}

// demoUsers is how many users of each provider are connected at most: a world
// that is kept may have many.
const demoUsers = 2

// connect plays one owner: opens the link, approves on the provider's page,
// and comes back.
func (d *demo) connect(ctx context.Context, provider, address string) (string, error) {
	var got struct{ BeginConnect struct{ URL string } }
	err := d.client.do(ctx, `mutation($in: BeginConnectInput!) { beginConnect(input: $in) { url } }`,
		map[string]any{"in": map[string]any{"provider": provider, "loginHint": address,
			"expectedAddress": address, "redirectUrl": "http://" + d.http + "/"}}, &got)
	if err != nil {
		return "", err
	}
	browser, err := d.browser()
	if err != nil {
		return "", err
	}
	page, at, err := fetch(ctx, browser, http.MethodGet, got.BeginConnect.URL, nil)
	if err != nil {
		return "", err
	}
	action, form, err := approveForm(page, at, address)
	if err != nil {
		return "", err
	}
	_, at, err = fetch(ctx, browser, http.MethodPost, action, form)
	if err != nil {
		return "", err
	}
	q := at.Query()
	if q.Get("status") != "connected" {
		return "", fmt.Errorf("the gateway answered %s %s", q.Get("status"), q.Get("code"))
	}
	return q.Get("account"), nil
}

// browser trusts the sandbox's authority beside the system's.
func (d *demo) browser() (*http.Client, error) {
	pem, err := os.ReadFile(d.info.Sandbox.CAFile)
	if err != nil {
		return nil, err
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, errors.New("the sandbox's certificate authority cannot be read")
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	return &http.Client{Timeout: 30 * time.Second, Jar: jar,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}}}, nil
}

func fetch(ctx context.Context, c *http.Client, method, to string, form url.Values) ([]byte, *url.URL, error) {
	req, err := http.NewRequestWithContext(ctx, method, to, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, nil, err
	}
	if form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, nil, err
	}
	if resp.StatusCode >= 400 {
		return nil, nil, fmt.Errorf("%s answered %s", resp.Request.URL.Redacted(), resp.Status)
	}
	return body, resp.Request.URL, nil
}

// approveForm fills in the sign-in page's form as its visitor would: the user
// of the address chosen, the button that approves pressed.
func approveForm(page []byte, at *url.URL, address string) (action string, values url.Values, err error) {
	doc, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		return "", nil, err
	}
	var form *html.Node
	for n := range doc.Descendants() {
		if n.Type == html.ElementNode && n.Data == "form" && form == nil {
			form = n
		}
	}
	if form == nil {
		return "", nil, errors.New("the sign-in page has no form")
	}
	values = url.Values{}
	for n := range form.Descendants() {
		if n.Type != html.ElementNode {
			continue
		}
		name, value := attr(n, "name"), attr(n, "value")
		switch kind := attr(n, "type"); {
		case name == "":
		case n.Data == "input" && kind == "hidden":
			values.Set(name, value)
		case n.Data == "input" && kind == "radio" && strings.EqualFold(value, address):
			values.Set(name, value)
		case n.Data == "input" && kind == "checkbox" && hasAttr(n, "checked"):
			values.Add(name, value)
		case n.Data == "input" && kind == "text" && name == "user":
			values.Set(name, address)
		case n.Data == "button" && strings.EqualFold(value, "approve"):
			values.Set(name, value)
		}
	}
	to, err := at.Parse(attr(form, "action"))
	if err != nil {
		return "", nil, err
	}
	return to.String(), values, nil
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func hasAttr(n *html.Node, name string) bool {
	return slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == name })
}

package outlook

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/postern-mail/postern/plugins/outlook/msgraph"
	"github.com/postern-mail/postern/plugins/sdk/mail"
	"github.com/postern-mail/postern/plugins/sdk/provider"
)

const (
	defaultSearch = 50
	maxSearch     = 250
)

// Search asks Exchange's index by KQL, or a filter where only dates are asked
// for. The index lags, and sorts by date of sending.
func (p *Provider) Search(ctx context.Context, req *provider.SearchRequest) (*provider.SearchResponse, error) {
	ctx, c, done, err := p.begin(ctx, req.Call, "search messages")
	if err != nil {
		return nil, err
	}
	defer done()
	r := &msgraph.Request{Op: c.op, Method: http.MethodGet, Priority: c.prio}
	if req.PageToken != "" {
		link, err := base64.RawURLEncoding.DecodeString(req.PageToken)
		if err != nil || len(link) == 0 {
			return nil, &mail.Error{Kind: mail.KindInvalid, Op: c.op, Message: "the page token cannot be read"}
		}
		r.Link = string(link)
	} else {
		r.Path = "/me/messages"
		if req.Mailbox != "" {
			r.Path = folderPath(req.Mailbox) + "/messages"
		}
		limit := req.Limit
		if limit <= 0 {
			limit = defaultSearch
		}
		r.Query = url.Values{"$select": {"id,receivedDateTime"}, "$top": {strconv.Itoa(min(limit, maxSearch))}}
		if q := kql(req); q != "" {
			r.Query.Set("$search", q)
		} else {
			r.Query.Set("$orderby", "receivedDateTime desc")
			r.Query.Set("$filter", dateFilter(req))
		}
	}
	var page msgraph.Page[msgraph.Message]
	if err := c.graph.Do(ctx, r, &page); err != nil {
		return nil, err
	}
	out := &provider.SearchResponse{}
	for i := range page.Value {
		m := &page.Value[i]
		// KQL knows days, not hours.
		if m.Received != nil && ((!req.After.IsZero() && m.Received.Before(req.After)) || (!req.Before.IsZero() && !m.Received.Before(req.Before))) {
			continue
		}
		out.IDs = append(out.IDs, m.ID)
	}
	if page.NextLink != "" {
		out.NextPageToken = base64.RawURLEncoding.EncodeToString([]byte(page.NextLink))
	}
	return out, nil
}

// kql writes the query in Keyword Query Language, as the value of $search:
// in double quotes, with those inside escaped. Every word is quoted, so that
// none is taken for an operator or a property.
func kql(req *provider.SearchRequest) string {
	var terms []string
	for _, w := range strings.Fields(unquoted(req.Text)) {
		terms = append(terms, `\"`+w+`\"`)
	}
	property := func(name, value string) {
		if v := strings.Join(strings.Fields(unquoted(value)), " "); v != "" {
			terms = append(terms, name+`:\"`+v+`\"`)
		}
	}
	property("from", req.From)
	property("to", req.To)
	property("subject", req.Subject)
	if len(terms) == 0 {
		return ""
	}
	if req.HasAttachment {
		terms = append(terms, "hasAttachment:true")
	}
	if !req.After.IsZero() {
		terms = append(terms, "received>="+req.After.UTC().Format(time.DateOnly))
	}
	if !req.Before.IsZero() {
		terms = append(terms, "received<="+req.Before.UTC().Format(time.DateOnly))
	}
	return `"` + strings.Join(terms, " ") + `"`
}

func unquoted(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '"' || r == '\\' || r < ' ' {
			return ' '
		}
		return r
	}, s)
}

// dateFilter: what is sorted by must come first in the filter, else Graph
// answers InefficientFilter.
func dateFilter(req *provider.SearchRequest) string {
	after := req.After
	if after.IsZero() {
		after = time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	f := "receivedDateTime ge " + exchangeTime(after)
	if !req.Before.IsZero() {
		f += " and receivedDateTime lt " + exchangeTime(req.Before.Add(time.Second-1))
	}
	if req.HasAttachment {
		f += " and hasAttachments eq true"
	}
	return f
}

package e2e

import (
	"fmt"
	"strings"
	"testing"
)

// ids gives malformed ids, and ids of another kind, wherever one is taken.
func (w *bad) ids(t *testing.T) {
	for _, id := range []string{"", "x", w.ada[1:], "../../etc/passwd", "m\x00", "evt_", long, w.message + w.message, "\u202e" + w.message} {
		vars := map[string]any{"id": id}
		var got map[string]any
		w.query(`query($id: ID!) { account(id: $id) { id } mailbox(id: $id) { id } message(id: $id) { id } thread(id: $id) { id }
			endpoint(id: $id) { id } delivery(id: $id) { id } submission(id: $id) { id } }`, vars, &got)
		for field, v := range got {
			if v != nil {
				t.Errorf("%s of %.40q is %v", field, id, v)
			}
		}
		for _, mutation := range []string{
			`syncAccount(id: $id) { id }`, `disconnectAccount(id: $id)`, `deleteMailbox(id: $id)`, `cancelSubmission(id: $id) { id }`,
			`deleteDraft(id: $id)`, `deleteEndpoint(id: $id)`, `rotateEndpointSecret(id: $id) { secret }`, `expireEndpointKey(id: $id, key: "key_none") { id }`, `sendTestEvent(id: $id) { id }`,
			`updateAccount(input: {id: $id, paused: true}) { id }`, `createMailbox(input: {account: $id, name: "x"}) { id }`,
			`renameMailbox(input: {id: $id, name: "x"}) { id }`, `updateEndpoint(input: {id: $id, enabled: false}) { id }`,
			`submitMessage(input: {account: $id, to: ["a@b.example"], text: "x"}) { id }`, `saveDraft(input: {account: $id}) { id }`,
			`beginConnect(input: {provider: $id}) { url }`, `redeliver(ids: [$id]) { count }`,
		} {
			w.refused("NOT_FOUND", `mutation($id: ID!) { `+mutation+` }`, vars)
		}
		w.refused("NOT_FOUND", `query($id: ID!) { events(accounts: [$id]) { edges { cursor } } }`, vars)
		for _, mutation := range []string{
			`createMailbox(input: {account: $account, name: "x", parent: $id}) { id }`,
			`submitMessage(input: {account: $account, to: ["a@b.example"], reply: $id}) { id }`,
			`saveDraft(input: {account: $account, replaces: $id}) { id }`,
			`createEndpoint(input: {url: "http://127.0.0.1:9/", accounts: [$id]}) { secret }`,
		} {
			if id == "" && !strings.Contains(mutation, "accounts:") {
				continue // the empty string is none
			}
			query, vars := "mutation($id: ID!, $account: ID!) { "+mutation+" }", map[string]any{"id": id, "account": w.ada}
			if !strings.Contains(mutation, "$account") {
				query, vars = "mutation($id: ID!) { "+mutation+" }", map[string]any{"id": id}
			}
			w.refused("NOT_FOUND", query, vars)
		}
		for _, mutation := range []string{
			`updateMessages(ids: [$id], addKeywords: ["x"])`, `moveMessages(ids: [$id], to: $to)`, `copyMessages(ids: [$id], to: $to)`, `deleteMessages(ids: [$id])`,
			`updateMessages(ids: [$message], addToMailboxes: [$id])`, `moveMessages(ids: [$message], to: $id)`, `copyMessages(ids: [$message], to: $id)`,
		} {
			w.refusedResult("NOT_FOUND", mutation, map[string]any{"id": id, "message": w.message, "to": (&changes{demo: w.demo, ada: w.ada}).mailbox("ARCHIVE")})
		}
	}
	many := make([]string, 1001)
	for i := range many {
		many[i] = fmt.Sprint("m", i)
	}
	w.refused("BAD_INPUT", `mutation($ids: [ID!]!) { deleteMessages(ids: $ids) { results { id } } }`, map[string]any{"ids": many})
	// Grace's mailbox is none of ada's.
	theirs := (&changes{demo: w.demo, ada: w.grace}).mailbox("ARCHIVE")
	w.refusedResult("BAD_INPUT", `moveMessages(ids: [$message], to: $id)`, map[string]any{"message": w.message, "id": theirs})
	w.refused("BAD_INPUT", `mutation($a: ID!, $m: ID!) { submitMessage(input: {account: $a, to: ["a@b.example"], reply: $m}) { id } }`, map[string]any{"a": w.grace, "m": w.message})
	w.refused("BAD_INPUT", `mutation($id: ID!) { deleteDraft(id: $id) }`, map[string]any{"id": w.message})
}

// refusedResult runs a mutation whose one message must not be changed, for a
// reason of the code.
func (w *bad) refusedResult(code, mutation string, vars map[string]any) {
	w.t.Helper()
	var params []string
	used := map[string]any{}
	for name, v := range vars {
		if strings.Contains(mutation, "$"+name) {
			params = append(params, "$"+name+": ID!")
			used[name] = v
		}
	}
	var got map[string]struct {
		Results []struct {
			Message *struct{ ID string }
			Error   *struct{ Code, Message string }
		}
	}
	errs := w.try("mutation("+strings.Join(params, ", ")+") { "+mutation+" { results { message { id } error { code message } } } }", used, &got)
	for _, payload := range got {
		for _, r := range payload.Results {
			if r.Error != nil && r.Message == nil {
				errs = append(errs, gqlError{Message: r.Error.Message})
				errs[len(errs)-1].Extensions.Code = r.Error.Code
			}
		}
	}
	if len(errs) != 1 || errs[0].Extensions.Code != code || errs[0].Message == "" {
		w.t.Errorf("%s %.200v\nis answered by %+v %+v, want %s", mutation, used, errs, got, code)
	}
}

// cursors gives lists the cursors of others.
func (w *bad) cursors(t *testing.T) {
	var got struct {
		Ada, Grace struct {
			Messages, Threads, Search struct {
				PageInfo struct{ EndCursor string }
			}
		}
		Accounts, Events, Deliveries struct {
			PageInfo struct{ EndCursor string }
		}
	}
	const page = "pageInfo { endCursor }"
	const lists = "messages(first: 1) { " + page + " } threads(first: 1) { " + page + " } search(query: \"the\", first: 1) { " + page + " }"
	w.query(`query($ada: ID!, $grace: ID!) { ada: account(id: $ada) { `+lists+` } grace: account(id: $grace) { `+lists+` }
		accounts(first: 1) { `+page+` } events(first: 1) { `+page+` } deliveries(first: 1) { `+page+` } }`, map[string]any{"ada": w.ada, "grace": w.grace}, &got)
	good := map[string]string{
		"messages": got.Ada.Messages.PageInfo.EndCursor, "threads": got.Ada.Threads.PageInfo.EndCursor, "search": got.Ada.Search.PageInfo.EndCursor,
		"accounts": got.Accounts.PageInfo.EndCursor, "events": got.Events.PageInfo.EndCursor, "deliveries": got.Deliveries.PageInfo.EndCursor,
	}
	foreign := map[string]string{
		"messages of grace": got.Grace.Messages.PageInfo.EndCursor, "threads of grace": got.Grace.Threads.PageInfo.EndCursor, "search of grace": got.Grace.Search.PageInfo.EndCursor,
		"nonsense": "nonsense", "long": long, "spaces": " ", "cut": good["messages"][:len(good["messages"])-3],
	}
	ask := map[string]string{
		"messages": `account(id: $ada) { messages(after: $c) { ` + page + ` } }`, "threads": `account(id: $ada) { threads(after: $c) { ` + page + ` } }`,
		"search": `account(id: $ada) { search(query: "the", after: $c) { ` + page + ` } }`, "accounts": `accounts(after: $c) { ` + page + ` }`,
		"events": `events(after: $c) { ` + page + ` }`, "deliveries": `deliveries(after: $c) { ` + page + ` }`,
	}
	for list, field := range ask {
		param := ""
		if strings.Contains(field, "$ada") {
			param = "$ada: ID!, "
		}
		query := "query(" + param + "$c: String) { " + field + " }"
		vars := func(c string) map[string]any {
			v := map[string]any{"c": c}
			if param != "" {
				v["ada"] = w.ada
			}
			return v
		}
		if good[list] == "" {
			t.Errorf("%s gave no cursor", list)
		}
		w.query(query, vars(good[list]), nil)
		for other, c := range good {
			if other != list {
				w.refused("BAD_INPUT", query, vars(c))
			}
		}
		for _, c := range foreign {
			w.refused("BAD_INPUT", query, vars(c))
		}
	}
}

package gmail

import (
	"strings"
	"testing"
)

func TestMask(t *testing.T) {
	const doc = `{"id":"1","historyId":"18446744073709551615","labelIds":["A","B"],"payload":{"mimeType":"a/b","headers":[{"name":"To","value":"x"},{"name":"Cc","value":"y"}],"body":{"size":5}},"sizeEstimate":7}`
	for _, c := range []struct{ fields, want string }{
		{"id", `{"id":"1"}`},
		{"historyId,id", `{"id":"1","historyId":"18446744073709551615"}`},
		{"labelIds", `{"labelIds":["A","B"]}`},
		{"payload/headers/name", `{"payload":{"headers":[{"name":"To"},{"name":"Cc"}]}}`},
		{"payload(mimeType,body/size),sizeEstimate", `{"payload":{"mimeType":"a/b","body":{"size":5}},"sizeEstimate":7}`},
		{"payload/*", `{"payload":{"mimeType":"a/b","headers":[{"name":"To","value":"x"},{"name":"Cc","value":"y"}],"body":{"size":5}}}`},
		{"payload/body,payload/headers(value)", `{"payload":{"headers":[{"value":"x"},{"value":"y"}],"body":{"size":5}}}`},
		{"payload,payload/mimeType", `{"payload":{"mimeType":"a/b","headers":[{"name":"To","value":"x"},{"name":"Cc","value":"y"}],"body":{"size":5}}}`},
		{"*/size", ``},
		{"*/body", `{"payload":{"body":{"size":5}}}`},
		{"*", doc},
		{"nextPageToken", ``},
		{"id/name", ``},
		{"payload/parts", ``},
		{" id , labelIds ", `{"id":"1","labelIds":["A","B"]}`},
	} {
		m, err := parseMask(c.fields)
		if err != nil {
			t.Errorf("%q: %v", c.fields, err)
			continue
		}
		if got, err := m.apply([]byte(doc)); err != nil || string(got) != c.want {
			t.Errorf("%q: %v\n got %s\nwant %s", c.fields, err, got, c.want)
		}
	}
	for _, bad := range []string{"", ",", "id,", "id(", "payload(id", "payload()", "payload)", "id/", "/id", "nosuchfield", "payload(id))", "a b",
		strings.Repeat("payload(", 1000), strings.Repeat("payload/", 1000) + "id"} {
		if m, err := parseMask(bad); err == nil {
			t.Errorf("%.40q was read as %v", bad, m)
		}
	}
	if _, err := (mask{"id": nil}).apply([]byte(`{"id":`)); err == nil {
		t.Error("half a document was masked")
	}
}

package msgraph

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/postern-mail/postern/plugins/sdk/mail"
)

// uploadServer takes an upload and cuts the answers of the pieces in cutAt.
type uploadServer struct {
	t        *testing.T
	sessions int
	data     []byte
	ranges   []string
	cutAt    map[int]bool // by number of the PUT
	refuse   map[int]int
	puts     int
	strict   bool // a piece that is there already is refused
	done     bool
}

func (u *uploadServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet:
		list := []map[string]string{}
		if u.done {
			list = append(list, map[string]string{"id": "a"})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"value": list})
	case http.MethodPost:
		u.sessions++
		u.data = nil
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(map[string]any{"uploadUrl": "http://" + r.Host + "/upload?authtoken=x", "nextExpectedRanges": []string{"0-"}})
	case http.MethodPut:
		if r.Header.Get("Authorization") != "" {
			u.t.Error("the upload address got a token")
		}
		body, _ := io.ReadAll(r.Body)
		var from, to, total int
		if _, err := fmt.Sscanf(r.Header.Get("Content-Range"), "bytes %d-%d/%d", &from, &to, &total); err != nil || to-from+1 != len(body) {
			u.t.Errorf("Content-Range %q with %d bytes", r.Header.Get("Content-Range"), len(body))
		}
		u.ranges = append(u.ranges, r.Header.Get("Content-Range"))
		u.puts++
		if s := u.refuse[u.puts]; s != 0 {
			graphError(w, s, "X", "x")
			return
		}
		switch {
		case u.done:
			graphError(w, 404, "ErrorItemNotFound", "the session has ended")
			return
		case from == len(u.data):
			u.data = append(u.data, body...)
			u.done = len(u.data) == total
		case u.strict:
			graphError(w, 416, "InvalidRange", "not the next range")
			return
		}
		if u.cutAt[u.puts] {
			cut(w)
			return
		}
		if len(u.data) == total {
			w.WriteHeader(http.StatusCreated)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"NextExpectedRanges": []string{fmt.Sprint(len(u.data))}})
	case http.MethodDelete:
		w.WriteHeader(http.StatusNoContent)
	}
}

func TestUpload(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789"), 25)
	for _, tc := range []struct {
		name     string
		server   uploadServer
		ranges   []string
		sessions int
	}{
		{"in order", uploadServer{}, []string{"bytes 0-99/250", "bytes 100-199/250", "bytes 200-249/250"}, 1},
		{"answer lost in the middle", uploadServer{cutAt: map[int]bool{2: true}},
			[]string{"bytes 0-99/250", "bytes 100-199/250", "bytes 100-199/250", "bytes 200-249/250"}, 1},
		{"answer lost, strict service", uploadServer{cutAt: map[int]bool{2: true}, strict: true},
			[]string{"bytes 0-99/250", "bytes 100-199/250", "bytes 100-199/250", "bytes 200-249/250"}, 1},
		{"last answer lost", uploadServer{cutAt: map[int]bool{3: true}},
			[]string{"bytes 0-99/250", "bytes 100-199/250", "bytes 200-249/250", "bytes 200-249/250"}, 1},
		{"session gone", uploadServer{refuse: map[int]int{2: 404}},
			[]string{"bytes 0-99/250", "bytes 100-199/250", "bytes 0-99/250", "bytes 100-199/250", "bytes 200-249/250"}, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tc.server.t = t
			c, _ := testClient(t, tc.server.ServeHTTP)
			if err := c.Upload(t.Context(), "op", 0, "/me/messages/x", UploadItem{Name: "f"}, data, 100); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(tc.server.data, data) || tc.server.sessions != tc.sessions {
				t.Errorf("%d bytes in %d sessions", len(tc.server.data), tc.server.sessions)
			}
			if diff := cmp.Diff(tc.ranges, tc.server.ranges); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestUploadRefused(t *testing.T) {
	u := &uploadServer{t: t, refuse: map[int]int{1: 400}}
	c, _ := testClient(t, u.ServeHTTP)
	err := c.Upload(t.Context(), "op", 0, "/x", UploadItem{}, []byte("data"), 100)
	if mail.KindOf(err) != mail.KindInvalid || strings.Contains(err.Error(), "authtoken") {
		t.Error(err)
	}
}

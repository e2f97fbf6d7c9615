package sandbox_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"strings"

	"github.com/postern-mail/postern/internal/sandbox"
)

// A sandbox on free ports, a user signed in, a mail delivered.
func ExampleStart() {
	ctx := context.Background()
	sb, err := sandbox.Start(ctx, sandbox.Options{NoSeed: true})
	if err != nil {
		log.Fatal(err)
	}
	defer func() {
		if err := sb.Close(); err != nil {
			log.Print(err)
		}
	}()
	state := sb.State()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: sb.TLS()}}

	authorize := state.Authority + "/oauth2/v2.0/authorize?" + url.Values{
		"client_id": {state.ClientID}, "response_type": {"code"}, "scope": {"openid offline_access Mail.Read"},
		"redirect_uri": {"http://localhost:8080/oauth/outlook/callback"}, "state": {"mine"},
	}.Encode()
	back, err := sandbox.Approve(ctx, client, authorize, "ada@contoso.example")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(back.Path, back.Query().Get("state"), back.Query().Has("code"))

	mail := "From: x@elsewhere.example\r\nSubject: hello\r\n\r\nhi\r\n"
	resp, err := http.Post(state.Control+"/control/users/ada@contoso.example/messages", "message/rfc822", strings.NewReader(mail))
	if err != nil {
		log.Fatal(err)
	}
	resp.Body.Close()
	fmt.Println(resp.Status)
	// Output:
	// /oauth/outlook/callback mine true
	// 201 Created
}

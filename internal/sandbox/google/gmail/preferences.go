package gmail

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
)

// The settings that no program needs to read and send mail. Those of the account
// (IMAP, POP, language, vacation, forwarding) are kept and given back, and have
// no effect. Lists of filters, forwarding addresses and delegates are empty. The
// rest is refused in the words that Gmail has for accounts that may not:
//
//   - what needs gmail.settings.sharing (delegates, forwarding), which is for
//     service accounts that act for a whole domain: 403;
//   - client-side encryption and S/MIME, which only some Workspace editions
//     have, and filters: 400 failedPrecondition.

type autoForwarding struct {
	Enabled      bool   `json:"enabled"`
	EmailAddress string `json:"emailAddress,omitempty"`
	Disposition  string `json:"disposition,omitempty"`
}

type imapSettings struct {
	Enabled         bool   `json:"enabled"`
	AutoExpunge     bool   `json:"autoExpunge"`
	ExpungeBehavior string `json:"expungeBehavior,omitempty"`
	MaxFolderSize   int32  `json:"maxFolderSize"`
}

type popSettings struct {
	AccessWindow string `json:"accessWindow,omitempty"`
	Disposition  string `json:"disposition,omitempty"`
}

type languageSettings struct {
	DisplayLanguage string `json:"displayLanguage"`
}

type vacationSettings struct {
	EnableAutoReply       bool   `json:"enableAutoReply"`
	ResponseSubject       string `json:"responseSubject,omitempty"`
	ResponseBodyPlainText string `json:"responseBodyPlainText,omitempty"`
	ResponseBodyHTML      string `json:"responseBodyHtml,omitempty"`
	RestrictToContacts    bool   `json:"restrictToContacts,omitempty"`
	RestrictToDomain      bool   `json:"restrictToDomain,omitempty"`
	StartTime             int64  `json:"startTime,omitempty,string"`
	EndTime               int64  `json:"endTime,omitempty,string"`
}

// preference are the two methods of a setting that is kept: get and update.
func preference[T any](handlers map[string]handler, name string, initial T, check func(T) error) {
	key := "gmail.users.settings."
	handlers[key+"get"+name] = func(c *call) (any, error) {
		v := initial
		err := c.locked(func() error {
			kept := c.mb.out.Preferences[name]
			if kept == nil {
				return nil
			}
			if err := json.Unmarshal(kept, &v); err != nil {
				return fmt.Errorf("kept %s: %w", name, err)
			}
			return nil
		})
		return v, err
	}
	handlers[key+"update"+name] = func(c *call) (any, error) {
		var v T
		if err := c.body(&v, maxJSON); err != nil {
			return nil, err
		}
		if err := check(v); err != nil {
			return nil, err
		}
		b, err := json.Marshal(v)
		if err != nil {
			return nil, fmt.Errorf("keep %s: %w", name, err)
		}
		return v, c.locked(func() error {
			if c.mb.out.Preferences == nil {
				c.mb.out.Preferences = map[string]json.RawMessage{}
			}
			c.mb.out.Preferences[name] = b
			return nil
		})
	}
}

func oneOf(field, value string, values ...string) error {
	if value != "" && !slices.Contains(values, value) {
		return errField(snake(field), "Invalid value at '%s' (TYPE_ENUM), %q", snake(field), clip(value, 100))
	}
	return nil
}

// preferences are all of these methods.
func preferences() map[string]handler {
	hs := map[string]handler{}
	dispositions := []string{"dispositionUnspecified", "leaveInInbox", "archive", "trash", "markRead"}
	preference(hs, "Imap", imapSettings{Enabled: true, AutoExpunge: true, ExpungeBehavior: "archive"}, func(v imapSettings) error {
		return oneOf("expungeBehavior", v.ExpungeBehavior, "expungeBehaviorUnspecified", "archive", "trash", "deleteForever")
	})
	preference(hs, "Pop", popSettings{AccessWindow: "disabled", Disposition: "leaveInInbox"}, func(v popSettings) error {
		if err := oneOf("disposition", v.Disposition, dispositions...); err != nil {
			return err
		}
		return oneOf("accessWindow", v.AccessWindow, "accessWindowUnspecified", "disabled", "fromNowOn", "allMail")
	})
	preference(hs, "Language", languageSettings{DisplayLanguage: "en"}, func(v languageSettings) error {
		if v.DisplayLanguage == "" {
			return errInvalid("Invalid displayLanguage")
		}
		return nil
	})
	preference(hs, "Vacation", vacationSettings{}, func(v vacationSettings) error {
		if v.EnableAutoReply && v.ResponseSubject == "" && v.ResponseBodyPlainText == "" && v.ResponseBodyHTML == "" {
			return errInvalid("Either the response subject or the response body must be nonempty")
		}
		if v.StartTime != 0 && v.EndTime != 0 && v.StartTime >= v.EndTime {
			return errInvalid("startTime must precede endTime")
		}
		return nil
	})
	preference(hs, "AutoForwarding", autoForwarding{}, func(v autoForwarding) error {
		if v.Enabled { // there are no verified forwarding addresses
			return errInvalid("Unrecognized forwarding address")
		}
		return oneOf("disposition", v.Disposition, dispositions...)
	})
	none := func(*call) (any, error) { return struct{}{}, nil }
	gone := func(*call) (any, error) { return nil, errNotFound() }
	for _, what := range []string{"filters", "forwardingAddresses", "delegates"} {
		key := "gmail.users.settings." + what + "."
		hs[key+"list"], hs[key+"get"], hs[key+"delete"], hs[key+"create"] = none, gone, gone, sharingOnly
	}
	hs["gmail.users.settings.filters.create"] = notForAccount
	for _, m := range encryptionMethods() {
		hs[m.id] = notForAccount
	}
	return hs
}

func sharingOnly(*call) (any, error) {
	return nil, errForbidden("Access restricted to service accounts that have been delegated domain-wide authority")
}

func notForAccount(*call) (any, error) { return nil, errPrecondition("Precondition check failed.") }

// encryptionMethods are those of client-side encryption and S/MIME.
func encryptionMethods() []method {
	const cse, smime = "/gmail/v1/users/{userId}/settings/cse/", "/gmail/v1/users/{userId}/settings/sendAs/{sendAsEmail}/smimeInfo"
	read := []string{scopeFull, scopeModify, scopeReadonly, scopeBasic, scopeSharing}
	write := []string{scopeBasic, scopeSharing}
	page := []param{{name: "pageSize", kind: pUint32}, {name: "pageToken", kind: pString}}
	ms := []method{
		{id: "cse.identities.create", verb: http.MethodPost, path: cse + "identities", rpc: "CreateCseIdentity", scopes: write},
		{id: "cse.identities.delete", verb: http.MethodDelete, path: cse + "identities/{cseEmailAddress}", rpc: "DeleteCseIdentity", scopes: write},
		{id: "cse.identities.get", verb: http.MethodGet, path: cse + "identities/{cseEmailAddress}", rpc: "GetCseIdentity", scopes: read},
		{id: "cse.identities.list", verb: http.MethodGet, path: cse + "identities", rpc: "ListCseIdentities", scopes: read, query: page},
		{id: "cse.identities.patch", verb: http.MethodPatch, path: cse + "identities/{emailAddress}", rpc: "PatchCseIdentity", scopes: write},
		{id: "cse.keypairs.create", verb: http.MethodPost, path: cse + "keypairs", rpc: "CreateCseKeyPair", scopes: write,
			query: []param{{name: "chainValidation", kind: pString}}},
		{id: "cse.keypairs.disable", verb: http.MethodPost, path: cse + "keypairs/{keyPairId}:disable", rpc: "DisableCseKeyPair", scopes: write},
		{id: "cse.keypairs.enable", verb: http.MethodPost, path: cse + "keypairs/{keyPairId}:enable", rpc: "EnableCseKeyPair", scopes: write},
		{id: "cse.keypairs.get", verb: http.MethodGet, path: cse + "keypairs/{keyPairId}", rpc: "GetCseKeyPair", scopes: read},
		{id: "cse.keypairs.list", verb: http.MethodGet, path: cse + "keypairs", rpc: "ListCseKeyPairs", scopes: read, query: page},
		{id: "cse.keypairs.obliterate", verb: http.MethodPost, path: cse + "keypairs/{keyPairId}:obliterate", rpc: "ObliterateCseKeyPair", scopes: write},
		{id: "sendAs.smimeInfo.delete", verb: http.MethodDelete, path: smime + "/{id}", rpc: "DeleteSmimeInfo", scopes: write},
		{id: "sendAs.smimeInfo.get", verb: http.MethodGet, path: smime + "/{id}", rpc: "GetSmimeInfo", scopes: read},
		{id: "sendAs.smimeInfo.insert", verb: http.MethodPost, path: smime, rpc: "InsertSmimeInfo", scopes: write},
		{id: "sendAs.smimeInfo.list", verb: http.MethodGet, path: smime, rpc: "ListSmimeInfo", scopes: read},
		{id: "sendAs.smimeInfo.setDefault", verb: http.MethodPost, path: smime + "/{id}/setDefault", rpc: "SetDefaultSmimeInfo", scopes: write},
	}
	for i := range ms {
		ms[i].id = "gmail.users.settings." + ms[i].id
		ms[i].units, ms[i].oldUnits = 5, 5
	}
	return ms
}

package sandbox

// A Provider is how a gateway is configured to use one of the clouds: as data,
// so that a program that starts a sandbox needs to know no provider by name.
type Provider struct {
	// Name is the instance's, Plugin the plugin's.
	Name   string `json:"name"`
	Plugin string `json:"plugin"`
	// Cloud is what the control API calls it, and URL where it is.
	Cloud string `json:"cloud"`
	URL   string `json:"url"`
	Push  bool   `json:"push"`
	// Settings are the plugin's. Files are those settings that name a file, with
	// what is to be in it.
	Settings map[string]string `json:"settings"`
	Files    map[string]string `json:"files,omitempty"`
	// App is the application that the settings name, for POST /control/apps;
	// redirect_uris is left to the gateway's owner.
	App map[string]any `json:"app"`
}

// providers lists what the sandbox plays, in the order of its clouds.
func (s *Sandbox) providers() []Provider {
	st := s.state
	app := func(cloud, id, secret string) map[string]any {
		return map[string]any{"cloud": cloud, "client_id": id, "secrets": []map[string]string{{"value": secret}}}
	}
	return []Provider{
		{
			Name: "outlook", Plugin: "outlook", Cloud: s.microsoft.Name(), URL: st.Microsoft, Push: true,
			Settings: map[string]string{
				"client_id": st.ClientID, "client_secret": st.ClientSecret,
				"authority": st.Authority, "graph_url": st.Graph, "ca_file": st.CAFile,
			},
			App: app(s.microsoft.Name(), st.ClientID, st.ClientSecret),
		},
		{
			Name: "gmail", Plugin: "gmail", Cloud: s.google.Name(), URL: st.Google,
			Settings: map[string]string{
				"client_id": st.GoogleClientID, "client_secret": st.GoogleClientSecret,
				"auth_url": st.Google + "/o/oauth2/v2/auth", "token_url": st.Google + "/token",
				"revoke_url": st.Google + "/revoke", "certs_url": st.Google + "/oauth2/v3/certs",
				"gmail_url": st.Google + "/", "pubsub_url": st.Google + "/",
				"topic": st.GoogleTopic, "subscription": st.GoogleSubscription,
			},
			Files: map[string]string{"service_account": st.GoogleServiceAccount},
			App:   app(s.google.Name(), st.GoogleClientID, st.GoogleClientSecret),
		},
	}
}

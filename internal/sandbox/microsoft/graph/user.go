package graph

import (
	"encoding/json"
	"strings"
)

var userProperties = lowerSet("businessPhones", "displayName", "givenName", "jobTitle", "mail", "mobilePhone", "officeLocation",
	"preferredLanguage", "surname", "userPrincipalName", "id", "proxyAddresses", "accountEnabled", "userType", "mailNickname")

// profile is GET /me: the default properties, or those of $select.
func (c *call) profile() (answer, error) {
	if err := c.query.checkSelect("user", userProperties); err != nil {
		return answer{}, err
	}
	u := c.mb.user
	given, surname, _ := strings.Cut(u.Name, " ")
	nick, _, _ := strings.Cut(u.Address, "@")
	e := entity{{"@odata.context", c.base + "/v1.0/$metadata#users" + c.selection() + "/$entity"}}
	for _, p := range []field{
		{"businessPhones", []string{}},
		{"displayName", u.Name},
		{"givenName", orNull(given)},
		{"jobTitle", nil},
		{"mail", u.Address},
		{"mobilePhone", nil},
		{"officeLocation", nil},
		{"preferredLanguage", "en-US"},
		{"surname", orNull(surname)},
		{"userPrincipalName", u.Address},
		{"id", u.ID},
	} {
		if c.query.wants(p.key) {
			e = append(e, p)
		}
	}
	for _, p := range []field{ // only when asked for
		{"proxyAddresses", []string{"SMTP:" + u.Address}},
		{"accountEnabled", true},
		{"userType", "Member"},
		{"mailNickname", nick},
	} {
		if c.query.names(p.key) {
			e = append(e, p)
		}
	}
	return ok(e), nil
}

// mailboxSettings holds the settings as JSON by name.
type mailboxSettings map[string]json.RawMessage

func defaultMailboxSettings() mailboxSettings {
	s := mailboxSettings{}
	for name, v := range map[string]any{
		"timeZone":                              "UTC",
		"dateFormat":                            "MM/dd/yyyy",
		"timeFormat":                            "hh:mm tt",
		"delegateMeetingMessageDeliveryOptions": "sendToDelegateOnly",
		"userPurpose":                           "user",
		"language":                              entity{{"locale", "en-US"}, {"displayName", "English (United States)"}},
		"automaticRepliesSetting": entity{
			{"status", "disabled"}, {"externalAudience", "all"},
			{"scheduledStartDateTime", entity{{"dateTime", "2026-01-01T07:00:00.0000000"}, {"timeZone", "UTC"}}},
			{"scheduledEndDateTime", entity{{"dateTime", "2026-01-02T07:00:00.0000000"}, {"timeZone", "UTC"}}},
			{"internalReplyMessage", ""}, {"externalReplyMessage", ""},
		},
		"workingHours": entity{
			{"daysOfWeek", []string{"monday", "tuesday", "wednesday", "thursday", "friday"}},
			{"startTime", "08:00:00.0000000"}, {"endTime", "17:00:00.0000000"}, {"timeZone", entity{{"name", "UTC"}}},
		},
	} {
		s[name] = appendValue(nil, v)
	}
	return s
}

// settingsOrder is the order in which settings are written.
var settingsOrder = []string{"archiveFolder", "timeZone", "delegateMeetingMessageDeliveryOptions", "dateFormat", "timeFormat", "userPurpose", "automaticRepliesSetting", "language", "workingHours"}

func (c *call) setting(name string) json.RawMessage {
	if name == "archiveFolder" {
		if f := c.mb.wellKnown["archive"]; f != nil {
			return appendValue(nil, c.mb.ids.folder(f.num))
		}
		return json.RawMessage("null")
	}
	return c.mb.settings[name]
}

func (c *call) getSettings() (answer, error) {
	if err := c.query.checkSelect("mailboxSettings", lowerSet(settingsOrder...)); err != nil {
		return answer{}, err
	}
	e := entity{{"@odata.context", c.userContext() + "/mailboxSettings" + c.selection()}}
	for _, name := range settingsOrder {
		if c.query.wants(name) {
			e = append(e, field{name, c.setting(name)})
		}
	}
	return ok(e), nil
}

func (c *call) getSetting() (answer, error) {
	for _, name := range settingsOrder {
		if !strings.EqualFold(name, c.path.key) {
			continue
		}
		v := c.setting(name)
		e := entity{{"@odata.context", c.userContext() + "/mailboxSettings/" + name}}
		if o, err := readObject(v, name, false); err == nil {
			for _, k := range o.keys {
				e = append(e, field{k, o.values[k]})
			}
			return ok(e), nil
		}
		return ok(append(e, field{"value", v})), nil
	}
	return answer{}, errNoSegment(c.path.key)
}

func (c *call) updateSettings() (answer, error) {
	o, err := sub(c.body, "mailboxSettings", append([]string{"@odata.context"}, settingsOrder...)...)
	if err != nil {
		return answer{}, err
	}
	for _, k := range o.keys {
		v := o.values[k]
		old, known := c.mb.settings[k]
		switch {
		case strings.HasPrefix(k, "@"):
		case k == "archiveFolder" || k == "userPurpose":
			return answer{}, errInvalidRequest("The setting '" + k + "' is read-only.")
		case !known || isNull(v):
		case old[0] != v[0]: // an object where text belongs, or the reverse
			return answer{}, errRequestBody("Cannot convert the value of '%s' to the expected type.", k)
		case old[0] == '{':
			merged, err := mergeObjects(old, v, k)
			if err != nil {
				return answer{}, err
			}
			c.mb.settings[k] = merged
		default:
			c.mb.settings[k] = v
		}
	}
	return c.getSettings()
}

// mergeObjects lays the properties of change over those of old.
func mergeObjects(old, change json.RawMessage, kind string) (json.RawMessage, error) {
	a, err := readObject(old, kind, false)
	if err != nil {
		return nil, err
	}
	b, err := sub(change, kind, a.keys...)
	if err != nil {
		return nil, err
	}
	var e entity
	for _, k := range a.keys {
		v := a.values[k]
		if w, ok := b.values[k]; ok && !isNull(w) {
			v = w
		}
		e = append(e, field{k, v})
	}
	return appendValue(nil, e), nil
}

func (c *call) getOutlook() (answer, error) {
	return ok(entity{{"@odata.context", c.userContext() + "/outlook/$entity"}, {"id", c.mb.user.ID}}), nil
}

func (c *call) languages() (answer, error) {
	es := []entity{}
	for _, l := range [][2]string{{"de-DE", "German (Germany)"}, {"en-GB", "English (United Kingdom)"}, {"en-US", "English (United States)"}, {"es-ES", "Spanish (Spain)"}, {"fr-FR", "French (France)"}, {"ja-JP", "Japanese (Japan)"}} {
		es = append(es, entity{{"locale", l[0]}, {"displayName", l[1]}})
	}
	return ok(entity{{"@odata.context", c.base + "/v1.0/$metadata#Collection(microsoft.graph.localeInfo)"}, {"value", es}}), nil
}

// timeZones lists zones under their Windows or, when asked, their IANA names.
func (c *call) timeZones() (answer, error) {
	standard := c.path.key[strings.LastIndexByte(c.path.key, '\'')+1:]
	iana := false
	switch strings.ToLower(standard) {
	case "", "windows":
	case "iana":
		iana = true
	default:
		return answer{}, errBadRequest("Requested value '%s' was not found.", abbreviate(standard))
	}
	es := []entity{}
	for _, z := range []struct{ windows, iana, name string }{
		{"UTC", "Etc/UTC", "(UTC) Coordinated Universal Time"},
		{"GMT Standard Time", "Europe/London", "(UTC+00:00) Dublin, Edinburgh, Lisbon, London"},
		{"W. Europe Standard Time", "Europe/Berlin", "(UTC+01:00) Amsterdam, Berlin, Bern, Rome, Stockholm, Vienna"},
		{"Eastern Standard Time", "America/New_York", "(UTC-05:00) Eastern Time (US & Canada)"},
		{"Pacific Standard Time", "America/Los_Angeles", "(UTC-08:00) Pacific Time (US & Canada)"},
		{"Tokyo Standard Time", "Asia/Tokyo", "(UTC+09:00) Osaka, Sapporo, Tokyo"},
	} {
		alias := z.windows
		if iana {
			alias = z.iana
		}
		es = append(es, entity{{"alias", alias}, {"displayName", z.name}})
	}
	return ok(entity{{"@odata.context", c.base + "/v1.0/$metadata#Collection(microsoft.graph.timeZoneInformation)"}, {"value", es}}), nil
}

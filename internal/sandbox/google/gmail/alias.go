package gmail

// A sendAs is an address that a mailbox may send as (DISC "SendAs").
type sendAs struct {
	Email              string   `json:"sendAsEmail"`
	DisplayName        string   `json:"displayName"`
	ReplyTo            string   `json:"replyToAddress"`
	Signature          string   `json:"signature"`
	IsPrimary          bool     `json:"isPrimary,omitempty"`
	IsDefault          bool     `json:"isDefault,omitempty"`
	TreatAsAlias       bool     `json:"treatAsAlias,omitempty"`
	SMTP               *smtpMsa `json:"smtpMsa,omitempty"`
	VerificationStatus string   `json:"verificationStatus,omitempty"`
}

// smtpMsa is a server that mail of an alias goes through. The sandbox keeps it
// and sends by the small internet all the same.
type smtpMsa struct {
	Host         string `json:"host"`
	Port         int32  `json:"port"`
	Username     string `json:"username,omitempty"`
	Password     string `json:"password,omitempty"`
	SecurityMode string `json:"securityMode,omitempty"`
}

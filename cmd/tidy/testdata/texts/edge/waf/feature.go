package waf

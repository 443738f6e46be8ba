// The door: what is asked with the token of this tab, where the predictor wants one. It is kept for as
// long as the tab is open, and sent in a header alone: an address ends up in logs and histories.

const KEY = "si-stream-token";
export const LOCKED = 401;

export function ask(path, { headers, ...options } = {}) {
  const token = sessionStorage.getItem(KEY);
  return fetch(path, { ...options, headers: token ? { ...headers, Authorization: `Bearer ${token}` } : headers });
}

export const hasKey = () => sessionStorage.getItem(KEY) !== null;

export const keep = (token) => sessionStorage.setItem(KEY, token);

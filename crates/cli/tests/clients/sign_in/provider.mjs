// The OpenID provider of an organisation: whoever gives a name is that person.
import Provider from 'oidc-provider';

const { PORT, CALLBACK, SECRET } = process.env;
const provider = new Provider(`http://127.0.0.1:${PORT}`, {
  clients: [{
    client_id: 'keepwell',
    client_secret: SECRET,
    redirect_uris: [CALLBACK],
    response_types: ['code'],
    grant_types: ['authorization_code'],
  }],
  cookies: { keys: ['of a test'] },
  pkce: { methods: ['S256'], required: () => true },
});
provider.listen(Number(PORT), '127.0.0.1', () => console.log('listening'));

/** An S3 server by itself. */
import { standalone } from '../servers/standalone.ts';
import { startS3Server } from './server.ts';

await standalone((say) => startS3Server(say));

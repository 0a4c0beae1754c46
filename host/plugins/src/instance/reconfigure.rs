//! Another configuration for an instance that runs, of a plugin that exports `reconfigure`.

use super::Instance;
use crate::call::Deadline;
use crate::error::CallError;
use crate::v1;

impl Instance {
    /// Hands over another configuration. After [`CallError::Fatal`] the instance goes on with the one before;
    /// after any other error nobody knows what it holds.
    ///
    /// # Errors
    /// What it answered, or [`CallError::Contract`] where the plugin does not export this.
    pub async fn reconfigure(&mut self, config: &str) -> Result<(), CallError> {
        self.reconfigure_uncounted(config).await.inspect_err(|error| self.usage.failed(error))
    }

    async fn reconfigure_uncounted(&mut self, config: &str) -> Result<(), CallError> {
        let config = config.to_owned();
        let taken = self.caller.call(Deadline::Init, move |running| {
            Box::pin(async move {
                let (guest, store) = running.exports()?;
                match &guest.reconfigure {
                    Some(guest) => guest.call(store, (config,)).await.map(Some),
                    None => Ok(None),
                }
            })
        });
        let missing = || CallError::Contract("does not export reconfigure".to_owned());
        taken.await?.ok_or_else(missing)?.map_err(|error| v1::refused(error, None))?;
        self.ask_interval().await
    }
}
